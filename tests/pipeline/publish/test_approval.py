"""What an approval lets `publish` do, and which notices a request leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import run
from pipeline.publish import pruning
from pipeline.publish.approval import NOTHING, leave_refusal, leave_waiting
from pipeline.publish.database import Database
from pipeline.publish.guard import Outcome
from pipeline.publish.publication import Approval, NotApproved
from pipeline.settings import Settings
from tests.pipeline.conftest import history

Query = Callable[..., list[tuple[Any, ...]]]
Written = Callable[..., Path]
Make = Callable[..., Settings]

LAST = "SELECT run_id, previous_run_id, actor FROM voucher.publication ORDER BY at DESC LIMIT 1"
NOTICES = "SELECT event, previous_run_id, actor, reason FROM voucher.notice WHERE run_id = %s ORDER BY at"
ADDRESS = "http://127.0.0.1:8080/required_actions"


@pytest.fixture
def source(settings: Make, written: Written) -> Callable[[float], Settings]:
    """Return a function that writes a history of one amount, and returns settings that read it."""
    return lambda amount: settings(written(history({"voucher_amount": amount}), f"{amount}.parquet"))


def audited(settings: Settings) -> str:
    """Plan, load and audit a run, and return its run_id."""
    run_id = run.plan(settings)
    run.load(settings, run_id)
    run.audit(settings, run_id)
    return run_id


def test_only_the_approved_replacement_is_published(source: Callable[[float], Settings], query: Query) -> None:
    """A run is published instead of the run that it was approved to replace, and of no other; the audits are not run
    again for one that is not approved.
    """
    first = run.run(source(1.0), "test")
    settings = source(2.0)
    run_id = audited(settings)
    for other in (NOTHING, Approval(first, first), Approval(run_id, None), Approval(run_id, run_id)):
        with pytest.raises(NotApproved, match=f"nobody approved that run {run_id} replaces {first}"):
            run.publish(settings, run_id, "test", None, other)
        with pytest.raises(NotApproved):
            run.publish(settings, run_id, "test", "a reason", other)
    assert query(LAST) == [(first, None, "test")]

    assert run.publish(settings, run_id, "ana", None, Approval(run_id, first)) is Outcome.PUBLISHED
    assert query(LAST) == [(run_id, first, "ana")]
    assert run.publish(settings, run_id, "ana", None, NOTHING) is Outcome.CHECKED


def test_an_older_plan_that_was_published_meanwhile_is_not_replaced(
    source: Callable[[float], Settings], query: Query
) -> None:
    """A run that was planned before, and published after the approval, is not replaced by the approved one."""
    first = run.run(source(1.0), "test")
    older, newer = source(2.0), source(3.0)
    older_id, run_id = audited(older), audited(newer)
    run.publish(older, older_id, "ana")
    with pytest.raises(NotApproved, match=f"nobody approved that run {run_id} replaces {older_id}"):
        run.publish(newer, run_id, "test", None, Approval(run_id, first))
    assert query(LAST) == [(older_id, first, "ana")]


def test_an_approved_run_is_published_as_it_was_loaded(settings: Make, written: Written, query: Query) -> None:
    """The answers are those that were shown if the source has changed since; nothing is published if the run's rows
    were deleted and can't be loaded as they were.
    """
    first = run.run(settings(written(history({"voucher_amount": 1.0}), "first.parquet")), "test")
    config = settings(written(history({"voucher_amount": 2.0})))
    run_id = audited(config)
    written(history({"voucher_amount": 3.0}))
    pruning.prune(Database(config.database_url), 1)
    with pytest.raises(run.PipelineError, match="changed"):
        run.publish(config, run_id, "test", None, Approval(run_id, first))
    assert query(LAST) == [(first, None, "test")]

    written(history({"voucher_amount": 2.0}))
    run_id = audited(config)
    written(history({"voucher_amount": 3.0}))
    run.publish(config, run_id, "test", None, Approval(run_id, first))
    amounts = "SELECT DISTINCT voucher_amount FROM voucher.segment JOIN voucher.current_run USING (run_id)"
    assert query(amounts) == [(2,)]


def test_a_request_leaves_one_notice(source: Callable[[float], Settings], query: Query) -> None:
    """A request that is repeated leaves no second notice, unless the run was planned again or would replace another."""
    first = run.run(source(1.0), "test")
    settings = source(2.0)
    database = Database(settings.database_url)
    run_id = audited(settings)
    asked = Approval(run_id, first)
    leave_waiting(database, asked, ADDRESS)
    leave_waiting(database, asked, ADDRESS)
    waiting = ("waiting", first, "airflow", ADDRESS)
    assert query(NOTICES, run_id) == [waiting]

    leave_refusal(database, asked, "ana", "refused in Airflow")
    audited(settings)
    leave_waiting(database, asked, ADDRESS)
    leave_waiting(database, Approval(run_id, None), ADDRESS)
    refused = ("refused", first, "ana", "refused in Airflow")
    assert query(NOTICES, run_id) == [waiting, refused, waiting, ("waiting", None, "airflow", ADDRESS)]
    assert query("SELECT status FROM voucher.run WHERE run_id = %s", run_id) == [("loading",)]


def test_a_publication_names_the_first_answers_that_changed(
    settings: Make, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of a publication has up to 20 answers, old → new, how many more there are, and a link to the page."""
    caplog.set_level("INFO")
    rows = [{"country_code": country} for country in ("Peru", "Chile", "Latvia")]
    config = settings(written(history(*rows)), page_url="http://vouchers.example/de")
    run_id = run.run(config, "test")
    told = [line for line in caplog.messages if line.startswith("publish:   ")]
    assert len([line for line in told if " → " in line]) == 20
    assert told[-1] == "publish:   and 10 more"
    assert caplog.messages[-2] == f"on the page: http://vouchers.example/de/history/{run_id}"
