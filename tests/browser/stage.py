"""A complete service for the browser: Postgres, runs that the pipeline publishes, and the API."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq

from dev.ports import free_port
from dev.processes import Processes
from dev.services.api import Service
from dev.services.postgres import Postgres
from pipeline import SAMPLE_MARK
from proofs.publishing.histories import TYPES
from proofs.support.published_tables import Tables
from tests.conftest import API, PIPELINE, ROOT, as_role, migrate

TODAY = date(2020, 6, 1)
EVIL = "<img src=x onerror=alert(1)>"
AIRFLOW = "http://127.0.0.1:9"  # a closed port: pages may link to it, but not send requests to it

Row = dict[str, Any]


def sent(country: str, amount: float | None, times: int, orders: int | None, days: int, first: int = 200) -> list[Row]:
    """Return `times` rows of one assignment. `days` and `first` are the days from the last and first order to TODAY."""
    row = {
        "timestamp": TODAY.isoformat(),
        "country_code": country,
        "last_order_ts": (TODAY - timedelta(days=days)).isoformat(),
        "first_order_ts": (TODAY - timedelta(days=first)).isoformat(),
        "total_orders": orders,
        "voucher_amount": amount,
    }
    return [row] * times


# Peru has a tie in segment 14-37, all customers of Latvia have 50 orders, and each rule drops some rows.
COMMON = [
    *(*sent("Peru", 2640, 6, 20, 40), *sent("Peru", 3520, 6, 20, 40), *sent("Peru", 2640, 4, None, 40)),
    *(*sent("Peru", None, 3, 3, 40), *sent("Peru", 2640, 3, 0, 40), *sent("Peru", 2640, 2, 1, 40)),
    *(*sent("Latvia", 4400, 25, 50, 100), *sent(EVIL, 990, 15, 3, 100)),
]
HISTORIES = {
    "before": [*COMMON, *sent("Peru", 2640, 20, 3, 10), *sent("Peru", 3520, 8, 3, 10), *sent("Peru", 4400, 4, 3, 10)],
    "now": [*COMMON, *sent("Peru", 3520, 20, 3, 10), *sent("Peru", 2640, 8, 3, 10), *sent("Peru", 4400, 4, 3, 10)],
    "next": [*COMMON, *sent("Peru", 5500, 30, 3, 10)],
}


class Stage:
    """A running service. Create it with `Stage.open`."""

    def __init__(self, folder: Path, postgres: Postgres, database: str) -> None:
        self._folder = folder
        self.postgres = postgres
        self._database = postgres.url(database)
        self.service = Service(folder, free_port())

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["Stage"]:
        """Start a service with the histories `before` and `now` published."""
        postgres = Postgres(folder, free_port(), secrets.token_hex(8), secrets.token_hex(8), durable=False)
        with postgres.running():
            postgres.create("template")
            migrate(postgres.url("template"))
            postgres.create("published", "template")
            stage = cls(folder, postgres, "published")
            stage.publish("before")
            stage.publish("now")
            with stage.running():
                yield stage

    @contextmanager
    def beside(self, folder: Path) -> Iterator["Stage"]:
        """Start another service with its own database, in which nothing is published."""
        name = f"beside_{secrets.token_hex(4)}"
        self.postgres.create(name, "template")
        stage = Stage(folder, self.postgres, name)
        with stage.running():
            yield stage

    @contextmanager
    def running(self) -> Iterator[None]:
        try:
            self.start()
            yield
        finally:
            self.stop()

    def start(self) -> None:
        environ = {"API_DATABASE_URL": as_role(self._database, API), "VOUCHER_AIRFLOW_URL": AIRFLOW}
        self.service.start(os.environ | environ, "")

    def stop(self) -> None:
        Processes(self._folder).stop("api")

    def publish(self, name: str, sample: bool = False) -> str:
        """Publish one of HISTORIES with the pipeline and return the run id. `sample` marks it as built-in sample."""
        path = self._folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {column: pa.array([row[column] for row in HISTORIES[name]], kind) for column, kind in TYPES.items()}
        pq.write_table(pa.table(columns).replace_schema_metadata(dict([SAMPLE_MARK]) if sample else None), path)
        self._pipeline("run", "--source", str(path))
        return str(self.query("SELECT run_id FROM voucher.current_run"))

    def publish_rows(self, run_id: str, **options: Any) -> None:
        """Publish a run that is written as rows, with the options of `Tables.publish`."""
        Tables(self._database).publish(run_id, today=TODAY, **options)

    def roll_back(self, run_id: str, reason: str) -> None:
        self._pipeline("rollback", run_id, "--reason", reason)

    def _pipeline(self, *arguments: str) -> None:
        environ = {"PIPELINE_DATABASE_URL": as_role(self._database, PIPELINE), "TODAY": TODAY.isoformat()}
        command = [sys.executable, "-m", "pipeline", *arguments]
        ended = subprocess.run(command, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr

    def query(self, statement: str) -> Any:
        """Execute the statement and return the first value of its result, or None if it has no result."""
        with closing(psycopg2.connect(self._database)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            found = cursor.fetchone() if cursor.description else None
        return found and found[0]
