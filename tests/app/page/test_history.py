"""The pages of all runs and of one run, for people."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Tables
from tests.app.page.conftest import AT, EVIL, OTHER, Publish, move, words

STATES = {  # of runs that are not live: the column status, and what the page says
    "b": ("published", "Was live before"),
    "c": ("withdrawn", "Withdrawn by a rollback"),
    "d": ("rejected", "Rejected by its audits, not live"),
    "e": ("loading", "Planned, not live"),
    "f": ("loading", "Not loaded completely"),
}


@pytest.fixture
def runs(tables: Tables, publish: Publish, run: CleanedRows) -> CleanedRows:
    """Publish run RUN, with a run before it in each state."""
    for letter, (status, _) in STATES.items():
        tables.publish(letter * 16, status=status)
    publish(RUN)
    run.execute(f"UPDATE voucher.run SET finished_at = NULL WHERE run_id = '{'f' * 16}'")
    run.execute("UPDATE voucher.run SET rows_in = 6000, rows_kept = 5000 WHERE run_id = %(run)s")
    move(run, AT, OTHER, None, "force", "The June files")
    move(run, AT + timedelta(days=1), RUN, OTHER, "publish", None)
    return run


def test_all_runs_have_their_state(runs: CleanedRows, client: FlaskClient) -> None:
    """Each run has its state in words, when and why it went live, who did that, and its rows, newest first."""
    page = client.get("/history")
    assert page.status_code == 200
    lines = [words(line) for line in re.findall("<tr>.*?</tr>", page.text, re.DOTALL)[1:]]
    assert [re.search("Run ([a-f])", line)[1] for line in lines] == ["a", *reversed(STATES)]
    assert "Live 2 Mar 2026, 04:30:00 UTC ana Published 5,000 6,000 14 Jul 2018" in lines[0]
    said = dict(zip(reversed(STATES), lines[1:], strict=True))
    for letter, (_, state) in STATES.items():
        assert f"Run {letter * 7} {state} " in said[letter]
    assert "1 Mar 2026, 04:30:00 UTC ana Forced: The June files" in said["b"]
    assert "never" in said["d"]


@pytest.mark.parametrize("letter", ["a", *STATES])
def test_a_run_has_its_state_and_what_differs_now(runs: CleanedRows, client: FlaskClient, letter: str) -> None:
    """Every run has a page; one that was live before links to its comparison with the live one."""
    page = client.get(f"/history/{letter * 16}")
    assert page.status_code == 200
    assert STATES.get(letter, ("", "Live"))[1] in words(page.text)
    links = re.findall(r'<a href="([^"]*)#compared">What differs from the live run</a>', page.text)
    assert links == ([f"/?old={RUN}&amp;new={letter * 16}"] if letter == "b" else [])


def test_a_run_in_words(runs: CleanedRows, client: FlaskClient) -> None:
    """The page of a run has its source without secrets, audits, publications, rules and files in words."""
    runs.part()
    runs.execute(
        """UPDATE voucher.run SET source = 'https://me:hunter2@example.org/a.csv?key=hunter2', today = '2018-07-15'
            WHERE run_id = %(run)s;
        INSERT INTO voucher.audit_outcome VALUES (%(run)s, 'rows_kept', 'fail', true, 'at least one', '7', NULL),
            (%(run)s, 'amounts_moved', 'fail', false, 'at most 30 %%', '41 %%', NULL),
            (%(run)s, 'rules_within_range', 'warn', false, 'each rule', 'no_amount', NULL);
        INSERT INTO voucher.rule VALUES (%(run)s, 1, 'no_amount', 'voucher_amount IS NULL', 'It says nothing.', 0, 0.5);
        INSERT INTO voucher.rule_outcome (run_id, country_code, rule, matched, dropped) VALUES
            (%(run)s, 'Peru', 'no_amount', 1500, 1200)"""
    )
    move(runs, AT + timedelta(days=2), OTHER, RUN, "rollback", "A draft")
    page = client.get(f"/history/{RUN}").text
    said = words(page)
    assert "Rows read 6,000 Rows kept 5,000" in said
    assert "Days are counted to 15 Jul 2018" in said
    assert "Rows kept Passed at least one 7" in said
    assert "Amounts moved Failed at most 30 % 41 %" in said
    assert "Rules within range Warning each rule no_amount" in said
    assert "Published by ana: this run replaced Run bbbbbbb" in said
    assert "Rolled back by ana: Run bbbbbbb replaced this one A draft" in said
    assert "It says nothing. no_amount: voucher_amount IS NULL 1,500 (25.0 %) 1,200 0 % to 50 %" in said
    assert "s3://bucket/key 1 sha" in said
    assert "hunter2" not in page
    start = client.get("/").text
    assert "Checks before it went live 1 of 3 passed" in words(start)
    assert f'<a href="/history/{RUN}#audits">1 of 3 passed</a>' in start


def test_a_run_without_anything_says_so(tables: Tables, client: FlaskClient) -> None:
    """A run that was not checked and never went live says so."""
    tables.publish(RUN, status="loading", data_to=None)
    said = words(client.get(f"/history/{RUN}").text)
    for sentence in (
        "This run was not checked yet.",
        "It never was live.",
        "No file is on record.",
        "Rows read not known yet",
    ):
        assert sentence in said
    assert "What differs from the live run" not in said


def test_no_run_is_on_record(client: FlaskClient) -> None:
    """Before the first run, the list says that there is none."""
    assert "No run is on record yet." in words(client.get("/history").text)


def test_many_runs_have_pages(client: FlaskClient, run: CleanedRows) -> None:
    """The list has fifty runs and a link to older ones, until the last."""
    run.execute(
        "INSERT INTO voucher.run (run_id, source, rules_hash, segments_hash, started_at, planned_at, status)"
        " SELECT to_char(number, 'FM0000000000000000'), 's', 'r', 's', %(at)s + number * interval '1 day', %(at)s,"
        " 'loading' FROM generate_series(1, 70) AS number",
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    first = client.get("/history").text
    [older] = re.findall(r'<a href="([^"]+)">Older runs</a>', first)
    assert older == f"/history?before={21:016}"
    second = client.get(older).text
    assert "Older runs" not in second
    shown = [re.findall(r'href="/history/(\d+)"', page) for page in (first, second)]
    assert [*shown[0], *shown[1]] == [f"{number:016}" for number in range(70, 0, -1)]


@pytest.mark.parametrize(
    "path", [f"/history/{'c' * 16}", "/history/x", "/history/1%00", f"/history?before={'c' * 16}", "/history?before=x"]
)
def test_an_unknown_run_is_a_page(still: FlaskClient, path: str) -> None:
    """A run that is not on record gets a 404 as a page, with the way to the start page and the page's policy."""
    page = still.get(path)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "Unknown run" in words(page.text)
    assert '<a href="/">' in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]


def test_html_in_runs_is_shown_as_text(tables: Tables, client: FlaskClient, run: CleanedRows) -> None:
    """Both pages escape HTML in sources, files, audits, rules, reasons and actors."""
    tables.publish(source=EVIL, synthetic=[False])
    run.execute(
        """INSERT INTO voucher.audit_outcome VALUES (%(run)s, %(evil)s, 'warn', false, %(evil)s, %(evil)s, NULL);
        INSERT INTO voucher.rule VALUES (%(run)s, 1, %(evil)s, %(evil)s, %(evil)s, 0, 1);
        INSERT INTO voucher.publication (run_id, actor, reason) VALUES (%(run)s, %(evil)s, %(evil)s)""",
        evil=EVIL,
    )
    for path, times in (("/history", 2), (f"/history/{RUN}", 10)):
        page = client.get(path).text
        assert "<img src=x" not in page
        assert page.count("&lt;img src=x onerror=alert(1)&gt;") == times
