"""What the page of a run says that it changed, or would change: the page that logs and notices link to."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Tables
from tests.app.page.conftest import AT, OTHER, Publish, move, part, words

LATER = "c" * 16


def one_kind(amount: int) -> dict[str, Any]:
    """Return two segments, of which the first has this amount."""
    return {"frequent_segment": ("total_orders", [("0-9", 0, 9, amount), ("10+", 10, None, 200)])}


def changed(client: FlaskClient, run_id: str) -> str:
    return part(client.get(f"/history/{run_id}").text, "changes")


@pytest.fixture
def three(publish: Publish, run: CleanedRows) -> CleanedRows:
    """Publish three runs, each with another amount, one after the other."""
    for day, (run_id, previous) in enumerate([(RUN, None), (OTHER, RUN), (LATER, OTHER)]):
        publish(run_id, kinds=one_kind(100 * (day + 1)), countries={"Peru": 9, "Latvia": 4})
        move(run, AT + timedelta(days=day), run_id, previous, "publish", None)
    return run


def test_a_published_run_shows_what_it_changed(three: CleanedRows, client: FlaskClient) -> None:
    """A run that was live is compared with the run that it replaced, not with the live one; the first with none."""
    three.execute("UPDATE voucher.run SET rows_in = 6000 WHERE run_id = %(other)s", other=OTHER)
    found = changed(client, OTHER)
    assert "What it changed It replaced Run aaaaaaa when it went live, on 2 Mar 2026, 04:30:00 UTC" in found
    assert "6,000 rows were read; before, an unknown number of 2 answers of 2 countries changed." in found
    assert "Latvia 1 changed Segment Old New Vouchers sent 0-9 orders 100 100 % → 200 100 % 4" in found
    assert "Peru 1 changed" in found
    assert "0-9 orders 200 100 % → 300 100 %" in changed(client, LATER)
    assert changed(client, RUN).endswith("> What it changed No run was live before it.")


def test_after_a_rollback_a_run_shows_what_the_rollback_changed(three: CleanedRows, client: FlaskClient) -> None:
    """A run that went live twice is compared with the run that it replaced last."""
    move(three, AT + timedelta(days=3), RUN, LATER, "rollback", "A draft")
    found = changed(client, RUN)
    assert "It replaced Run ccccccc when it went live, on 4 Mar 2026, 04:30:00 UTC" in found
    assert "0-9 orders 300 100 % → 100 100 %" in found


@pytest.mark.parametrize("status", ["loading", "rejected"])
def test_a_run_that_is_not_live_shows_what_it_would_change(
    three: CleanedRows, tables: Tables, client: FlaskClient, status: str
) -> None:
    """A planned or rejected run is compared with the live one, also when its id is shortened."""
    run_id = "d0" * 8
    tables.publish(run_id, kinds=one_kind(150), countries={"Peru": 9}, status=status)
    found = changed(client, run_id)
    assert "What it would change Compared with Run ccccccc, which is live." in found
    assert "2 answers" not in found
    assert "3 answers of 2 countries would change." in found
    assert "Peru 1 changed Segment Old New Vouchers sent 0-9 orders 300 100 % → 150 100 % 9" in found
    assert "10+ orders 200 100 % → no such segment" in found
    assert changed(client, run_id[:6]) == found


def test_a_rejected_run_shows_its_failed_checks_first(tables: Tables, publish: Publish, client: FlaskClient) -> None:
    """Above what a rejected run would change are its checks: those that failed, then warnings, then those that passed."""
    publish(RUN)
    tables.publish(OTHER, status="rejected")
    run = CleanedRows(tables.database, OTHER)
    run.execute(
        """INSERT INTO voucher.audit_outcome VALUES (%(run)s, 'a_passed', 'fail', true, 'x', 'y', NULL),
            (%(run)s, 'b_warned', 'warn', false, 'x', 'y', NULL), (%(run)s, 'c_failed', 'fail', false, 'x', 'y', NULL)"""
    )
    page = client.get(f"/history/{OTHER}").text
    said = words(page)
    assert "Checks 1 check failed, so this run was not published." in said
    assert said.index("C failed Failed") < said.index("B warned Warning") < said.index("A passed Passed")
    assert page.index('id="audits"') < page.index('id="changes"')
    run.execute("UPDATE voucher.run SET status = 'published' WHERE run_id = %(run)s")
    page = client.get(f"/history/{OTHER}").text
    assert page.index('id="changes"') < page.index('id="audits"')
    assert "so this run was not published" not in words(page)


def test_what_cannot_be_compared_says_why(tables: Tables, publish: Publish, client: FlaskClient) -> None:
    """Before the first publication, while a run is loaded, and without answers, the page says that."""
    tables.publish(OTHER, status="loading")
    assert changed(client, OTHER).endswith("> What it would change No run is live yet.")
    publish(RUN)
    assert "Both runs have the same answers." in changed(client, OTHER)
    run = CleanedRows(tables.database, OTHER)
    run.execute("DELETE FROM voucher.segment WHERE run_id = %(run)s")
    assert "One of the two runs has no answers in the database." in changed(client, OTHER)
    run.execute("UPDATE voucher.run SET finished_at = NULL WHERE run_id = %(run)s")
    assert "This run is not loaded completely" in changed(client, OTHER)
    assert "Not loaded completely" in words(client.get(f"/history/{OTHER}").text)


def test_many_changed_countries_are_links(publish: Publish, tables: Tables, client: FlaskClient) -> None:
    """More than five changed countries are links to the changes of each, also of those that are not live."""
    countries = {f"Land {number}": 100 - number for number in range(30)}
    publish(RUN, kinds=one_kind(100), countries=countries)
    tables.publish(OTHER, kinds=one_kind(150), countries=countries | {"Nowhere": 3}, status="loading")
    page = unescape(client.get(f"/history/{OTHER}").text)
    assert "32 answers of 31 countries would change. Land 0: 1 changed Land 1: 1 changed" in words(page)
    links = re.findall(rf'href="(/history/{OTHER}\?country=[^"#]*)#changes"', page)
    assert len(links) == 31
    found = {link: part(client.get(link).text, "changes") for link in links}
    assert all("100 100 % → 150 100 %" in said for link, said in found.items() if "Land" in link)
    nowhere = found[f"/history/{OTHER}?country=Nowhere"]
    assert "Nowhere 2 changed" in nowhere
    assert "0-9 orders no such segment → 150 100 % 3" in nowhere
    assert "No answer of “<b>Elsewhere” is among them." in part(
        client.get(f"/history/{OTHER}?country=%3Cb%3EElsewhere").text, "changes"
    )
    listed = unescape(client.get(f"/?old={RUN}&new={OTHER}").text)
    assert "Nowhere: 2 changed" in words(listed)
    assert "country=Nowhere" not in listed


def test_a_rollback_that_goes_forward_is_called_so(three: CleanedRows, client: FlaskClient) -> None:
    """A rollback to a run that was first live later is no rollback in words: in both lists, and on the run's page."""
    move(three, AT + timedelta(days=3), RUN, OTHER, "rollback", "A draft")
    move(three, AT + timedelta(days=4), OTHER, RUN, "rollback", "No draft")
    timeline = part(client.get("/").text, "runs").partition("Changes between")[0]
    assert "5 Mar 2026, 04:30:00 UTC Went forward again by ana Run bbbbbbb No draft" in timeline
    assert "4 Mar 2026, 04:30:00 UTC Rolled back by ana Run aaaaaaa A draft" in timeline
    assert "Went forward again: No draft" in words(client.get("/history").text)
    said = words(client.get(f"/history/{RUN}").text)
    assert "Went forward again by ana: Run bbbbbbb replaced this one No draft" in said
    assert "Rolled back by ana: this run replaced Run bbbbbbb A draft" in said
    moves = client.get(f"/runs/{RUN}").json["publications"]
    assert [(one["action"], one["forward"]) for one in moves] == [
        *(("rollback", True), ("rollback", False), ("publish", False), ("publish", False))
    ]
