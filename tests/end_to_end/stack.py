"""An Airflow with Voucher_Select, its own source and its own database. Used by the tests of this folder."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg2
import pyarrow.parquet as pq

from dev.ports import free_port
from dev.processes import until
from dev.services.airflow import Airflow
from dev.services.airflow_client import Client
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from pipeline.publish.database import Database
from tests.conftest import PIPELINE, ROOT, as_role
from tests.pipeline.conftest import history

DAG = "Voucher_Select"
ANSWER = """SELECT voucher_amount, run_id FROM voucher.segment JOIN voucher.current_run USING (run_id)
    WHERE (country_code, segment_name, lower_bound) = ('Peru', 'frequent_segment', 5)"""


class Stack:
    """An Airflow with Voucher_Select, its source and its database."""

    def __init__(self, airflow: Airflow, s3: S3, database: str, bucket: str, more: Mapping[str, str]) -> None:
        self.airflow, self.s3, self.database, self.bucket = airflow, s3, database, bucket
        self.client = Client(airflow.url, DAG)
        names = ("PIPELINE_DATABASE_URL", "VOUCHER_SOURCE", "VOUCHER_RETRY_SECONDS")
        values = (as_role(database, PIPELINE), f"s3://{bucket}/history.parquet", "1")
        self.environ = os.environ | s3.environment | dict(zip(names, values, strict=True)) | more

    @property
    def pipeline(self) -> Database:
        """The database, as the pipeline's role."""
        return Database(as_role(self.database, PIPELINE))

    def put(self, rows: int, amount: float = 2640.0) -> None:
        """Replace the history with one of so many rows, which the rules keep, all with the same amount."""
        path = self.airflow.folder / "history.parquet"
        pq.write_table(history(*[{"voucher_amount": amount}] * rows), path)
        self.s3.put(self.bucket, path.name, path)

    def states(self) -> list[str]:
        return [run["state"] for run in self.client.runs()]

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def count(self, what: str) -> int:
        return int(self.query(f"SELECT count(*) FROM voucher.{what}")[0][0])

    def ends(self, run_id: str, state: str = "success") -> None:
        """Wait until the DAG run is in this state."""
        assert until(lambda: self.client.run(run_id)["state"] == state, 90), self.client.tasks(run_id)

    def clear(self, run_id: str, **what: object) -> None:
        """Clear tasks of a DAG run, and wait until they have run again."""
        self.client.clear(run_id, **what)
        self.ends(run_id)

    def answer(self) -> tuple[int, str]:
        """Return the amount for Peru's customers with 5 to 13 orders, and the run that it is from."""
        ((amount, run_id),) = self.query(ANSWER)
        return int(amount), run_id

    def task(self, run_id: str, task: str) -> dict[str, Any]:
        return next(each for each in self.client.tasks(run_id) if each["task_id"] == task)

    def log(self, run_id: str, task: str) -> str:
        """Return the newest log of a task."""
        return self.airflow.task_log(DAG, run_id, self.task(run_id, task), lines=100)

    def counts(self) -> tuple[int, int, int]:
        return self.count("run"), self.count("assignment"), self.count("publication")


@contextmanager
def started(
    folder: Path, postgres: Postgres, template: str, s3: S3, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Stack]:
    """Start a stack in a folder, whose name names its database and bucket. `folder/dags`: other DAGs, if it exists.

    more: settings.
    """
    name = folder.name.replace("-", "_")
    postgres.create(name, template)
    s3.create(name.replace("_", "-"))
    dags, ours = folder / "dags", ROOT / "pipeline" / "dags"
    if dags.exists():
        (dags / "voucher_select.py").write_text((ours / "voucher_select.py").read_text())
    airflow = Airflow(folder, free_port(), dags if dags.exists() else ours, secret="a secret for this test only" * 4)
    stack = Stack(airflow, s3, postgres.url(name), name.replace("_", "-"), more)
    airflow.migrate(stack.environ)
    try:
        airflow.start(stack.environ)
        assert until(stack.client.known, 60), stack.client.import_errors()
        yield stack
    finally:
        airflow.stop()
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
