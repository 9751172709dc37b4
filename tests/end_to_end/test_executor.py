"""The SequentialExecutor on a real scheduler."""

import os
from collections.abc import Iterator

import pytest

from dev.ports import free_port
from dev.processes import until
from dev.services.airflow import Airflow
from dev.services.airflow_client import Client

pytestmark = pytest.mark.long

DAG = """
import time
import pendulum
from airflow.sdk import dag, task

@dag(dag_id="branches", schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC"))
def branches():
    @task
    def left(): time.sleep(1.5)
    @task
    def right(): time.sleep(1.5)
    left(), right()

branches()
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Yield an Airflow with a real scheduler and a DAG of two independent tasks."""
    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    dags.mkdir()
    (dags / "branches.py").write_text(DAG)
    airflow = Airflow(folder, free_port(), dags, secret="a secret for this test only" * 4)
    airflow.migrate(os.environ)
    try:
        airflow.start(os.environ)
        yield airflow
    finally:
        airflow.stop()


def test_branches_do_not_overlap(airflow: Airflow) -> None:
    """The second of two independent tasks starts only after the first has ended."""
    client = Client(airflow.url, "branches")
    assert until(client.known, 60), client.import_errors()
    client.pause(False)
    run_id = client.trigger()
    assert until(lambda: client.run(run_id)["state"] == "success", 90), client.tasks(run_id)

    first, second = client.tasks(run_id)

    assert first["start_date"] < first["end_date"] <= second["start_date"] < second["end_date"]


def test_its_name_is_shown(airflow: Airflow) -> None:
    """The scheduler's log names SequentialExecutor, not the LocalExecutor that Airflow would substitute for it."""
    log = airflow.processes.log("airflow-scheduler").read_text()

    assert "SequentialExecutor(parallelism=1) runs one task at a time" in log
