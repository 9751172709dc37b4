"""The id of a run may be shortened wherever a request names a run."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from werkzeug.test import TestResponse

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Tables, start, stop

ONE, TWIN, LIVE = "abcdef0123456789", "abcdef0999999999", "0abcdef012345678"
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
POSTS = ("/voucher", "/segmentation-voucher/", "/vouchers", "/vouchers.ndjson", "/vouchers.csv")
TABLES = ("/votes?run=", "/rules?run=", "/assignments.csv?run=", "/runs/", "/runs?before=")
PAGES = ("/history/", "/history?before=")
PLACES = (*(f"{path}?run=" for path in POSTS), *TABLES, *PAGES)


@pytest.fixture(scope="module")
def app(postgres: Any, template: str) -> Iterator[Flask]:
    postgres.create("shortened", template)
    tables = Tables(postgres.url("shortened"))
    for run_id in (ONE, TWIN, LIVE):
        CleanedRows.published(tables, run_id).generate(3)
    app = start(tables.database)
    yield app
    stop(app)


@pytest.fixture
def ask(app: Flask) -> Callable[[str, str], TestResponse]:
    client = app.test_client()

    def ask(place: str, run_id: str) -> TestResponse:
        path = f"{place}{run_id}"
        if place.startswith("/vouchers.csv"):
            lines = ",".join(CUSTOMER), ",".join(map(str, CUSTOMER.values()))
            return client.post(path, data="\n".join(lines), content_type="text/csv")
        if place.startswith(POSTS):
            return client.post(path, json=[CUSTOMER] if place.startswith("/vouchers") else CUSTOMER)
        return client.get(path)

    return ask


@pytest.fixture
def statements(app: Flask) -> Iterator[list[str]]:
    """Yield the statements that requests execute."""
    executed: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        executed.append(statement)

    engine = app.extensions["tables"]._engine
    event.listen(engine, "before_cursor_execute", note)
    yield executed
    event.remove(engine, "before_cursor_execute", note)


Ask = Callable[[str, str], TestResponse]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("digits", [8, 15])
def test_a_shortened_id_is_that_of_the_run(ask: Ask, place: str, digits: int) -> None:
    """Digits that begin the id of one run get the response of that run, byte for byte, with its whole id."""
    whole, short = ask(place, ONE), ask(place, ONE[:digits])
    assert (whole.status_code, short.status_code) == (200, 200)
    assert short.data == whole.data
    assert short.headers.get("Voucher-Run") == whole.headers.get("Voucher-Run")
    if place.endswith("run="):
        assert short.headers["Voucher-Run"] == ONE


@pytest.mark.parametrize("place", [*(f"{path}?run=" for path in POSTS), *TABLES])
def test_digits_of_two_runs_name_both(ask: Ask, place: str) -> None:
    """Digits that begin the ids of two runs get a 422 that names both."""
    refused = ask(place, ONE[:6])
    assert (refused.status_code, refused.mimetype) == (422, "application/problem+json")
    assert refused.json
    assert refused.json["type"] == "urn:voucher-select:ambiguous-run"
    assert refused.json["detail"] == f"2 runs begin with 'abcdef': {ONE}, {TWIN}. Name one of them."


@pytest.mark.parametrize("place", [*PAGES, "/?old=", f"/?old={LIVE}&new="])
def test_a_page_links_to_both_runs(ask: Ask, place: str) -> None:
    """A page says that the digits begin the ids of two runs, and links to both."""
    page = ask(place, ONE[:6])
    assert (page.status_code, page.mimetype) == (422, "text/html")
    for run_id in (ONE, TWIN):
        assert f'<a href="/history/{run_id}">' in page.text


@pytest.mark.parametrize("place", PLACES)
def test_digits_of_no_run_are_unknown(ask: Ask, place: str) -> None:
    """Digits that begin no id get a 404, as an unknown id does; those in the middle of an id begin none."""
    for digits in ("123abc", ONE[1:9], "fffffffffffffff"):
        assert ask(place, digits).status_code == 404, digits


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("digits", [ONE[:5], "ABCDEF01", "abcdefg", "abcde%25", "abcdef%00", "______", f"{ONE}0"])
def test_what_cannot_begin_an_id_is_refused(ask: Ask, place: str, digits: str) -> None:
    """Fewer than 6 digits, upper case and wildcards get a 422 in a parameter, and a 404 in a path and on a page."""
    expected = 404 if place.endswith("/") or place in PAGES else 422
    assert ask(place, digits).status_code == expected


def test_a_comparison_takes_shortened_ids(ask: Ask) -> None:
    """The page compares the runs whose ids are shortened, and selects them in its lists."""
    page = ask(f"/?old={ONE[:8]}&new=", TWIN[:8]).text
    for run_id in (ONE, TWIN):
        assert f'<option value="{run_id}" selected>' in page
    assert "Both runs have the same answers." in page


def test_only_a_shortened_id_takes_a_further_query(ask: Ask, statements: list[str], app: Flask) -> None:
    """A whole id is not looked up, a shortened one by a single statement, and /voucher without a run asks nothing."""
    for place in PLACES:
        ask(place, ONE)
    assert statements
    assert not [each for each in statements if "starts_with" in each]
    statements.clear()
    ask("/voucher?run=", ONE[:8])
    assert len([each for each in statements if "starts_with" in each]) == 1
    statements.clear()
    assert app.test_client().post("/voucher", json=CUSTOMER).status_code == 200
    assert not statements
