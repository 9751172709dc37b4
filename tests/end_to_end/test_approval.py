"""Approval of a run in Airflow, on a real scheduler: a person answers through the API that Airflow's page uses."""

import re
from collections.abc import Iterator

import pytest

from dev.processes import StackError, until
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from pipeline import run
from pipeline.publish.publication import roll_back
from pipeline.settings import Settings
from tests.end_to_end.stack import Stack, started

pytestmark = pytest.mark.long

TASK = "approve"
PAGE = "http://vouchers.example/page"
LAST = "SELECT run_id, previous_run_id, actor, action, reason FROM voucher.publication ORDER BY at DESC LIMIT 1"
NOTICES = "SELECT event, actor FROM voucher.notice WHERE run_id = %s ORDER BY at"
REASON = "SELECT reason FROM voucher.notice WHERE run_id = %s AND event = %s"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, template: str, s3: S3) -> Iterator[Stack]:
    """Yield a stack that needs approval, with a published run of amount 2640."""
    more = {"VOUCHER_APPROVAL": "1", "VOUCHER_PAGE_URL": PAGE}
    with started(tmp_path_factory.mktemp("approval"), postgres, template, s3, more) as stack:
        stack.put(rows=40)
        stack.client.pause(False)
        assert until(lambda: stack.states() == ["running"], 60)
        approve(stack, waiting(stack, stack.client.runs()[0]["dag_run_id"]))
        yield stack


def waiting(stack: Stack, dag_run: str) -> str:
    """Wait until a person is asked, and return the DAG run.

    The scheduler must know it too: Airflow takes a task that is answered earlier, within a second, for a killed one,
    and asks again.
    """

    def ready() -> bool:
        task = stack.task(dag_run, TASK)
        known = rf"Finished: .*task_id={TASK}, run_id={re.escape(dag_run)}, .* state=awaiting_input, .*"
        known += rf"try_number={task['try_number']},"
        log = stack.airflow.processes.log("airflow-scheduler").read_text()
        return task["state"] == "awaiting_input" and re.search(known, log) is not None

    assert until(ready, 90), stack.client.tasks(dag_run)
    return dag_run


def approve(stack: Stack, dag_run: str) -> None:
    stack.client.answer(dag_run, TASK, "Approve")
    stack.ends(dag_run)


def asked(stack: Stack, amount: float) -> tuple[str, str]:
    """Trigger a run of another history, and return the DAG run that waits for approval, and the run."""
    stack.put(rows=40, amount=amount)
    dag_run = waiting(stack, stack.client.trigger())
    ((run_id,),) = stack.query("SELECT run_id FROM voucher.run ORDER BY planned_at DESC LIMIT 1")
    return dag_run, run_id


def by_command(stack: Stack, amount: float) -> str:
    """Publish another history as the command line does, and return the run."""
    path = stack.airflow.folder / f"{amount}.parquet"
    stack.put(rows=41, amount=amount)
    path.write_bytes((stack.airflow.folder / "history.parquet").read_bytes())
    return run.run(Settings(str(path), stack.pipeline.url), "ana")


def test_an_approved_run_is_published(stack: Stack) -> None:
    """The request names both runs, and shows the changes as `plan` does, with a link; the person who approves goes on
    record, and nobody is asked again about a run that is published.
    """
    _, before = stack.answer()
    dag_run, run_id = asked(stack, 1000)
    assert stack.answer() == (2640, before)
    request = stack.client.request(dag_run, TASK)
    assert request["subject"] == f"Publish run {run_id} instead of run {before}"
    assert "| Peru | frequent\\_segment | 5-13 orders | 2640 (40 of 40) | 1000 (40 of 40) |" in request["body"]
    assert f"({PAGE}/history/{run_id})" in request["body"]
    assert (request["options"], request["defaults"]) == (["Approve", "Reject"], None)

    approve(stack, dag_run)
    assert stack.answer() == (1000, run_id)
    assert stack.query(LAST) == [(run_id, before, "airflow", "publish", "approved in Airflow")]
    assert stack.query(NOTICES, run_id) == [("waiting", "airflow"), ("published", "airflow")]
    address = f"http://.*/dags/Voucher_Select/runs/{re.escape(dag_run)}/tasks/{TASK}/required_actions"
    assert re.fullmatch(address, stack.query(REASON, run_id, "waiting")[0][0])
    assert f"{PAGE}/history/{run_id}" in stack.log(dag_run, "publish")

    again = stack.client.trigger()
    stack.ends(again)
    assert f"run {run_id} is published already" in stack.log(again, TASK)
    assert f"run {run_id} was published already" in stack.log(again, "publish")


def test_a_refused_run_is_not_published(stack: Stack) -> None:
    """A refusal skips `publish`, and leaves a notice; tasks that are cleared or marked by hand do not publish it, and
    the next DAG run asks again.
    """
    before = stack.answer()
    dag_run, run_id = asked(stack, 1100)
    stack.client.answer(dag_run, TASK, "Reject")
    stack.ends(dag_run)
    assert stack.task(dag_run, "publish")["state"] == "skipped"
    assert stack.query(NOTICES, run_id) == [("waiting", "airflow"), ("refused", "airflow")]
    with pytest.raises(StackError, match="409"):
        stack.client.answer(dag_run, TASK, "Approve")

    stack.client.clear(dag_run, task_ids=["publish"])
    assert until(lambda: stack.client.run(dag_run)["state"] in {"success", "failed"}, 90)
    stack.client.clear(waiting_again(stack, dag_run), task_ids=["publish"])
    stack.client.set_state(dag_run, TASK, "success")
    stack.ends(dag_run, "failed")
    assert f"nobody approved that run {run_id} replaces" in stack.log(dag_run, "publish")
    assert stack.answer() == before

    approve(stack, waiting(stack, stack.client.trigger()))
    assert stack.answer() == (1100, run_id)


def waiting_again(stack: Stack, dag_run: str) -> str:
    """Clear `approve` alone, and wait until it asks again."""
    stack.client.clear(dag_run, task_ids=[TASK], include_downstream=False)
    return waiting(stack, dag_run)


def test_a_waiting_task_that_is_marked_as_success_publishes_nothing(stack: Stack) -> None:
    """A task that is marked as success by hand approves nothing; so `publish` fails, and says so."""
    before = stack.answer()
    dag_run, run_id = asked(stack, 1200)
    stack.client.set_state(dag_run, TASK, "success")
    stack.ends(dag_run, "failed")
    assert f"nobody approved that run {run_id} replaces {before[1]}" in stack.log(dag_run, "publish")
    assert stack.answer() == before


def test_a_forced_run_needs_approval(stack: Stack) -> None:
    """`force` does not publish without approval; the request says that the run is forced, and why."""
    before = stack.answer()
    stack.put(rows=40, amount=1300)
    dag_run = waiting(stack, stack.client.trigger({"force": "new prices"}))
    assert stack.client.request(dag_run, TASK)["subject"].endswith(", by force: new prices")
    assert stack.answer() == before
    approve(stack, dag_run)
    amount, run_id = stack.answer()
    assert stack.query(LAST) == [(run_id, before[1], "airflow", "force", "new prices")]
    assert amount == 1300


def test_published_by_the_command_line_in_between(stack: Stack) -> None:
    """A run that was approved instead of one that is no longer published is not published."""
    _, first = stack.answer()
    dag_run, run_id = asked(stack, 1400)
    between = by_command(stack, 1500)
    stack.client.answer(dag_run, TASK, "Approve")
    assert until(lambda: stack.client.run(dag_run)["state"] in {"success", "failed"}, 90)
    assert stack.answer() == (1500, between)
    assert f"run {run_id} was planned before run {between}" in stack.log(dag_run, "publish")

    dag_run, run_id = asked(stack, 1600)
    roll_back(stack.pipeline, first, "ana", "a mistake")
    stack.client.answer(dag_run, TASK, "Approve")
    assert until(lambda: stack.client.run(dag_run)["state"] in {"success", "failed"}, 90)
    assert stack.answer()[1] == first


def test_the_source_changed_in_between(stack: Stack) -> None:
    """What was shown is published, although the source changed and `plan` was cleared since; a request whose text is
    out of date can't be answered.
    """
    _, before = stack.answer()
    dag_run, run_id = asked(stack, 1700)
    stack.put(rows=40, amount=1800)
    stack.client.clear(dag_run, task_ids=["plan"], include_downstream=False)
    assert until(lambda: stack.task(dag_run, "plan")["state"] == "success", 90)
    assert stack.count("run") > 1 and stack.answer()[1] == before
    approve(stack, dag_run)
    assert stack.answer() == (1700, run_id)

    stale = waiting(stack, stack.client.trigger())
    stack.put(rows=40, amount=1900)
    stack.client.clear(stale, task_ids=["plan"])
    stack.ends(stale, "failed")
    assert "Airflow still shows the request" in stack.log(stale, TASK)
    assert stack.answer() == (1700, run_id)


def test_nobody_answers(stack: Stack) -> None:
    """After the time to answer, the task fails at once, leaves a notice and is not tried again; the answers stay.
    Meanwhile, other tasks can run. A task that is cleared leaves no second notice.
    """
    before = stack.answer()
    stack.airflow.processes.stop("airflow-scheduler")
    stack.airflow.start(stack.environ | {"VOUCHER_APPROVAL_HOURS": "0.004"})
    dag_run, run_id = asked(stack, 2000)
    stack.ends(dag_run, "failed")
    task = stack.task(dag_run, TASK)
    assert (task["state"], task["try_number"]) == ("failed", 1)
    late = "nobody approved the run within 0.004 h"
    assert f"{late}; the published answers stay" in stack.log(dag_run, TASK)
    assert stack.query(REASON, run_id, "refused") == [(late,)]
    assert stack.task(dag_run, "publish")["state"] == "upstream_failed"
    waiting_again(stack, dag_run)
    stack.ends(dag_run, "failed")
    assert stack.query(NOTICES, run_id) == [("waiting", "airflow"), ("refused", "airflow")]
    assert stack.answer() == before
