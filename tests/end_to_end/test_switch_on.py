"""The DAG Voucher_Select on a real scheduler, from S3 to Postgres."""

import signal
from collections.abc import Iterator

import pytest

from dev.processes import until
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from pipeline.publish.publication import roll_back
from tests.end_to_end.stack import Stack, started

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, template: str, s3: S3) -> Iterator[Stack]:
    with started(tmp_path_factory.mktemp("switch-on"), postgres, template, s3) as stack:
        yield stack


def test_switched_off_and_on_it_runs_once(stack: Stack) -> None:
    """Voucher_Select runs at once when switched on. Switching it again or triggering it that day duplicates nothing."""
    stack.put(rows=3)
    stack.client.pause(False)
    assert until(lambda: stack.states() == ["success"], 90), stack.states()
    assert stack.counts() == (1, 3, 1)

    stack.client.pause(True)
    stack.client.pause(False)
    triggered = stack.client.trigger()
    assert until(lambda: stack.client.run(triggered)["state"] == "success", 90), stack.client.tasks(triggered)

    # The scheduler has looked for due runs many times since. There are only the first and the triggered one.
    assert stack.states() == ["success", "success"]
    assert stack.counts() == (1, 3, 1)


def test_a_killed_scheduler_finishes_its_run(stack: Stack) -> None:
    """A scheduler that was killed with its workers during a run finishes it after a restart, without intervention."""
    stack.put(rows=4)
    before = stack.counts()
    stack.client.pause(False)
    run_id = stack.client.trigger()

    def loading() -> bool:
        return {task["task_id"]: task["state"] for task in stack.client.tasks(run_id)}.get("load") == "running"

    assert until(loading, 90, every=0.02), stack.client.tasks(run_id)
    scheduler = stack.airflow.processes.running("airflow-scheduler")
    assert scheduler
    for process in scheduler.members():
        process.send_signal(signal.SIGKILL)
    assert until(lambda: not scheduler.running, 10)
    stack.airflow.start(stack.environ)

    assert until(lambda: stack.client.run(run_id)["state"] == "success", 180), stack.client.tasks(run_id)
    assert stack.counts() == (before[0] + 1, before[1] + 4, before[2] + 1)


def test_clearing_old_tasks_brings_no_old_answers_back(stack: Stack) -> None:
    """After a wrong file and a corrected one, the corrected answers stay if tasks of the first run are cleared or a run
    is triggered again, forced or not, and the log says why. A rollback still brings the first run back, and a forced
    run the second.
    """
    stack.client.pause(False)
    stack.put(rows=40, amount=1000.0)
    mistaken = stack.client.trigger({"force": "the new prices"})
    stack.ends(mistaken)
    _, first = stack.answer()
    stack.put(rows=40, amount=2640.0)
    stack.ends(stack.client.trigger())
    corrected = stack.answer()
    assert (corrected[0], first) == (2640, first) and first != corrected[1]

    stack.clear(mistaken, task_ids=["publish"])
    assert stack.answer() == corrected
    assert f"run {first} was planned before run {corrected[1]}, which answers as of" in stack.log(mistaken, "publish")

    stack.clear(mistaken)
    assert stack.answer() == corrected
    assert f"run {corrected[1]} was published already" in stack.log(mistaken, "publish")

    stack.ends(stack.client.trigger({"force": "the new prices"}))
    assert stack.answer() == corrected

    roll_back(stack.pipeline, first, "ana", "the mistaken prices were promised")
    assert stack.answer() == (1000, first)
    stack.ends(stack.client.trigger({"force": "the promise is over"}))
    assert stack.answer() == corrected
