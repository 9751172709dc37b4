"""The page's log of publications, what the latest one changed, and the comparison of two runs."""

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Tables
from tests.app.page.conftest import AT, OTHER, Publish, move, part


def one_kind(amount: int) -> dict[str, Any]:
    """Return two segments, of which the first has this amount."""
    return {"frequent_segment": ("total_orders", [("0-9", 0, 9, amount), ("10+", 10, None, 200)])}


def test_the_runs_are_a_timeline(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """Publications are listed newest first with time, action, actor, reason and rows; the live one is marked."""
    publish(OTHER)
    publish(RUN)
    run.execute("UPDATE voucher.run SET rows_kept = 361588")
    for minute, (to, previous, action, reason) in enumerate(
        [(RUN, None, "publish", None), (OTHER, RUN, "force", "The June files"), (RUN, OTHER, "rollback", "A draft")]
    ):
        move(run, AT + timedelta(minutes=minute), to, previous, action, reason)
    found = part(client.get("/").text, "runs")
    assert "1 Mar 2026, 04:32:00 UTC Rolled back Live by ana Run aaaaaaa A draft 361,588 rows kept" in found
    assert "Forced by ana Run bbbbbbb The June files" in found
    assert found.index("04:32") < found.index("04:31") < found.index("04:30")
    assert found.partition("Changes between")[0].count("Live") == 1
    assert "data up to 14 Jul 2018, 21:00 UTC" in found


def test_changed_definitions_stand_above_the_answers(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """The comparison says in words how source, row counts, rules and kinds differ; a run with itself has no words."""
    publish(OTHER)
    publish(RUN)
    run.execute("UPDATE voucher.run SET source = 's3://b/' || left(run_id, 1), rows_in = 5000, rows_kept = 4000")
    run.execute(f"UPDATE voucher.run SET rows_in = 6000 WHERE run_id = '{RUN}'")
    run.execute(f"UPDATE voucher.kind SET title = '<b>Loyal' WHERE (run_id, position) = ('{RUN}', 0)")
    run.execute(f"INSERT INTO voucher.rule VALUES ('{RUN}', 90, 'late', 'total_orders > 900', 'Odd.', 0, 0.2)")
    page = client.get(f"/?old={OTHER}&new={RUN}").text
    found = part(page, "runs")
    assert "the source is s3://b/a; before, s3://b/b 6,000 rows were read; before, 5,000" in found
    assert "rule late is new: drops rows where total_orders > 900 (Odd.); expects 0 % to 20 %" in found
    assert "&lt;b&gt;Loyal" in page
    assert found.index("rule late is new") < found.index("Both runs have the same answers.")
    assert "rows were read" not in part(client.get(f"/?old={RUN}&new={RUN}").text, "runs")


def test_what_changed_between_two_runs(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """Changed answers, old to new: the chosen country first, others closed; a segment that a run lacks is missing."""
    few = ("total_orders", [("0-9", 0, 9, 100), ("10+", 10, None, 200)])
    publish(OTHER, kinds={"frequent_segment": few}, countries={"PERU": 30, "Chile": 4})
    more = ("total_orders", [("0-9", 0, 9, 150), ("10-19", 10, 19, 300), ("20+", 20, None, 200)])
    publish(RUN, kinds={"frequent_segment": more}, countries={"Peru": 40}, uses=10)
    page = client.get(f"/?old={OTHER}&new={RUN}").text
    found = part(page, "runs")
    assert '<details id="other-changes">' in page
    assert "Peru 2 changed Segment Old New Vouchers sent 0-9 orders 100 100 % → 150 25 % 40" in found
    assert "10-19 orders 200 100 % → 300 25 %" in found
    assert "frequent_segment: 10+ becomes 10-19 and 20+" in found
    assert found.index("becomes") < found.index("Peru 2 changed")
    assert (
        "1 other country changed Chile 2 changed Segment Old New Vouchers sent 0-9 orders 100 100 % → no such segment"
        in found
    )
    assert found.index("Peru 2") < found.index("Chile 2")
    back = part(client.get(f"/?old={RUN}&new={OTHER}").text, "runs")
    assert "0-9 orders 150 25 % → 100 100 %" in back


def test_the_newest_publication_is_compared_with_what_it_replaced(
    publish: Publish, client: FlaskClient, run: CleanedRows
) -> None:
    """By default the page compares the latest run with the one it replaced; with a single run it compares nothing."""
    kind = {"frequent_segment": ("total_orders", [("0+", 0, None, 7)])}
    publish(OTHER, kinds=kind)
    move(run, AT, OTHER, None, "publish", None)
    assert "There is only one run so far." in part(client.get("/").text, "runs")
    publish(RUN, kinds=kind)
    move(run, AT + timedelta(minutes=1), RUN, OTHER, "publish", None)
    page = client.get("/").text
    assert "Both runs have the same answers." in part(page, "runs")
    assert f'<option value="{OTHER}" selected>' in page
    assert f"old={OTHER}&amp;new={RUN}#compared" in page


@pytest.mark.parametrize("name", ["c" * 16, "x", "1%00", "'; DROP TABLE voucher.run; --", "A" * 16])
def test_a_run_that_is_not_there_has_nothing_to_compare(still: FlaskClient, name: str) -> None:
    """The comparison says that an unknown run has no answers; the rest of the page is complete."""
    page = still.get(f"/?old={name}&new={RUN}")
    assert page.status_code == 200
    assert "One of these runs has no answers in the database." in part(page.text, "runs")
    assert "of Latvia" in part(page.text, "segments")


def test_many_changed_countries_are_a_list(publish: Publish, client: FlaskClient) -> None:
    """More than five other countries are links to their changes."""
    countries = {f"Land {number}": 100 - number for number in range(7)}
    publish(OTHER, kinds=one_kind(100), countries=countries)
    publish(RUN, kinds=one_kind(150), countries=countries)
    page = client.get(f"/?old={OTHER}&new={RUN}").text
    assert "Land 0 1 changed Segment" in part(page, "runs")
    assert "6 other countries changed Land 1: 1 changed Land 2: 1 changed" in part(page, "runs")
    assert f'href="/?old={OTHER}&new={RUN}&country=Land+6#compared"' in unescape(page)


def test_the_latest_changes_stand_above_the_answers(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """Above the answers the page says how many changed when the run went live, and why; the answer says what it was."""
    publish(OTHER, kinds=one_kind(100), countries={"Peru": 9, "Latvia": 4})
    move(run, AT, OTHER, None, "publish", None)
    assert "when this run went live" not in part(client.get("/").text, "segments")
    publish(RUN, kinds=one_kind(1500), countries={"Peru": 9, "Latvia": 4})
    move(run, AT + timedelta(days=1), RUN, OTHER, "publish", None)
    run.execute("UPDATE voucher.run SET rows_in = 6000 + 1000 * (run_id = %(run)s)::int")
    found = part(client.get("/").text, "segments")
    latest = (
        "1 answer of Peru changed when this run went live, on 2 Mar 2026, 04:30:00 UTC; 1 other country has changes."
        " What is different: 7,000 rows were read; before, 6,000 All that changed"
    )
    assert latest in found
    assert (
        found.index(latest) < found.index("0-9 orders: voucher 1,500") < found.index("Changed was 100 until 2 Mar 2026")
    )
    assert found.count("Changed was") == 1


def test_an_unchanged_country_has_no_changed_answers(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """If no answer of the country changed, the page says so, and marks none."""
    for run_id, previous in ((OTHER, None), (RUN, OTHER)):
        publish(run_id, kinds=one_kind(100))
        move(run, AT + timedelta(minutes=previous is not None), run_id, previous, "publish", None)
    found = part(client.get("/").text, "segments")
    assert "No answer of Latvia changed when this run went live" in found
    assert "Changed was" not in found


@pytest.mark.parametrize(
    ("status", "said"), [("loading", "planned, not live"), ("rejected", "rejected by its audits, not live")]
)
def test_a_run_that_is_not_live_shows_what_it_would_change(
    publish: Publish, client: FlaskClient, tables: Tables, status: str, said: str
) -> None:
    """A planned or rejected run is offered for comparison with the live one, and called what it is."""
    publish(RUN, kinds=one_kind(100))
    tables.publish(OTHER, kinds=one_kind(150), status=status)
    page = unescape(client.get("/").text)
    link = f"/?old={RUN}&new={OTHER}#compared"
    assert f'href="{link}"' in page
    assert f"would change {said.capitalize()}" in part(page, "runs")
    compared = client.get(link).text
    assert f'<option value="{OTHER}" selected>{said} · ' in compared
    assert f'<option value="{RUN}" selected>live · ' in compared
    assert "Latvia 1 changed Segment Old New Vouchers sent 0-9 orders 100 100 % → 150 100 %" in part(compared, "runs")
    assert "0-9 orders: voucher 100 " in part(compared, "segments")
