"""The DAG Voucher_Select on a real scheduler, from S3 to Postgres."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pyarrow.parquet as pq
import pytest

from dev.ports import free_port
from dev.processes import until
from dev.services.airflow import Airflow
from dev.services.airflow_client import Client
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from pipeline.publish.database import Database
from pipeline.publish.publication import roll_back
from tests.conftest import PIPELINE, ROOT, as_role
from tests.pipeline.conftest import history

pytestmark = pytest.mark.long

DAG = "Voucher_Select"
BUCKET = "switch-on"


class Stack:
    """An Airflow with Voucher_Select, its source and its database."""

    def __init__(self, airflow: Airflow, s3: S3, database: str, folder: Path) -> None:
        self.airflow, self.s3, self.database, self.folder = airflow, s3, database, folder
        self.client = Client(airflow.url, DAG)
        names = ("PIPELINE_DATABASE_URL", "VOUCHER_SOURCE", "VOUCHER_RETRY_SECONDS")
        values = (as_role(database, PIPELINE), f"s3://{BUCKET}/history.parquet", "1")
        self.environ = os.environ | s3.environment | dict(zip(names, values, strict=True))

    def put(self, rows: int, amount: float = 2640.0) -> None:
        """Replace the history with one of so many rows, which the rules keep, all with the same amount."""
        pq.write_table(history(*[{"voucher_amount": amount}] * rows), self.folder / "history.parquet")
        self.s3.put(BUCKET, "history.parquet", self.folder / "history.parquet")

    def states(self) -> list[str]:
        return [run["state"] for run in self.client.runs()]

    def count(self, what: str) -> int:
        with closing(psycopg2.connect(self.database)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM voucher.{what}")
            return int(cursor.fetchone()[0])  # type: ignore[index]

    def ends(self, run_id: str) -> None:
        """Wait until the DAG run has succeeded."""
        assert until(lambda: self.client.run(run_id)["state"] == "success", 90), self.client.tasks(run_id)

    def clear(self, run_id: str, **what: object) -> None:
        """Clear tasks of a DAG run, as *Clear* on Airflow's page does, and wait until they have run again."""
        asked = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "include_downstream": True, **what}
        assert self.client._ask("POST", "/clearTaskInstances", json=asked)["total_entries"]
        self.ends(run_id)

    def answer(self) -> tuple[int, str]:
        """Return the amount for Peru's customers with 5 to 13 orders, and the run that it is from."""
        with closing(psycopg2.connect(self.database)) as connection, connection.cursor() as cursor:
            cursor.execute(
                """SELECT voucher_amount, run_id FROM voucher.segment JOIN voucher.current_run USING (run_id)
                WHERE (country_code, segment_name, lower_bound) = ('Peru', 'frequent_segment', 5)"""
            )
            amount, run_id = cursor.fetchone()
        return int(amount), run_id

    def log(self, run_id: str, task: str) -> str:
        """Return the newest log of a task."""
        found = next(each for each in self.client.tasks(run_id) if each["task_id"] == task)
        return self.airflow.task_log(DAG, run_id, found, lines=100)

    def counts(self) -> tuple[int, int, int]:
        return self.count("run"), self.count("assignment"), self.count("publication")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, template: str, s3: S3) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("switch-on")
    postgres.create("switch_on", template)
    s3.create(BUCKET)
    airflow = Airflow(folder, free_port(), ROOT / "pipeline" / "dags", secret="a secret for this test only" * 4)
    stack = Stack(airflow, s3, postgres.url("switch_on"), folder)
    airflow.migrate(stack.environ)
    try:
        airflow.start(stack.environ)
        assert until(stack.client.known, 60), stack.client.import_errors()
        yield stack
    finally:
        airflow.stop()
        postgres.execute("DROP DATABASE switch_on WITH (FORCE)")


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

    pipeline = Database(as_role(stack.database, PIPELINE))
    roll_back(pipeline, first, "ana", "the mistaken prices were promised")
    assert stack.answer() == (1000, first)
    stack.ends(stack.client.trigger({"force": "the promise is over"}))
    assert stack.answer() == corrected
