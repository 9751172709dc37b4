"""The page's visible text, and runs for it to show."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Ask, Tables

Publish = Callable[..., None]

OTHER = "b" * 16
PLAIN = str.maketrans("\N{RIGHT SINGLE QUOTATION MARK}\N{EN DASH}\N{MINUS SIGN}", "'--")
AT = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>\"'&"


def words(html: str) -> str:
    """Return the visible text of the HTML, with single spaces and plain quotation marks, dashes and minus signs."""
    text = unescape(re.sub(r"<[^>]*>", " ", html)).translate(PLAIN)
    return re.sub(" (?=[:,;])", "", " ".join(text.split()))


def part(page: str, name: str) -> str:
    """Return the visible text of one of the page's sections."""
    return words(page.partition(f'<section id="{name}"')[2].partition('<section id="')[0].partition("<footer")[0])


@pytest.fixture
def still(standing: Ask) -> FlaskClient:
    """Return a client of an app whose published run never changes: Peru, Latvia and São Tomé."""
    return standing.client


@pytest.fixture
def run(tables: Tables) -> CleanedRows:
    """Return the writer for the rows of run RUN that `publish` does not write."""
    return CleanedRows(tables.database)


def move(run: CleanedRows, at: datetime, to: str, previous: str | None, action: str, reason: str | None) -> None:
    run.execute(
        "INSERT INTO voucher.publication (at, run_id, previous_run_id, actor, action, reason)"
        " VALUES (%(at)s, %(to)s, %(previous)s, 'ana', %(action)s, %(reason)s)",
        **{"at": at, "to": to, "previous": previous, "action": action, "reason": reason},
    )


def reread(run: CleanedRows, client: FlaskClient) -> None:
    """Let the app read the published run again, after its rows were changed."""
    run.execute("UPDATE voucher.current_run SET checked_at = checked_at + interval '1 second'")
    client.application.extensions["published"].refresh()
