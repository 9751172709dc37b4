"""The service as in production, with its own Postgres, two published runs, and cleaned rows to download."""

import http.client
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2

from dev.ports import free_port
from dev.processes import Process, Processes
from dev.services.api import Service
from dev.services.postgres import Postgres
from proofs.support.environment import API, as_role, migrate, scrub
from proofs.support.published_tables import Tables
from proofs.support.request_load import Load
from proofs.support.served import full_disk, served

RUNS = {"a" * 16: 1000, "b" * 16: 7}  # the answer of each to CUSTOMER of `voucher_client`
FLAT = {"frequent_segment": ("total_orders", [("0+", 0, None, 7)])}
ROWS = 200_000  # of the downloaded country: more than all buffers hold
ASSIGNMENTS = """
    INSERT INTO voucher.part (uri, etag, size, sha256) VALUES ('s3://bucket/key', 'etag', 1, 'sha256');
    INSERT INTO voucher.run_part (run_id, part_id, loaded_by) VALUES (%(run)s, 1, %(run)s), (%(other)s, 1, %(run)s);
    INSERT INTO voucher.publication (run_id, actor) VALUES (%(other)s, 'proof'), (%(run)s, 'proof');
    UPDATE voucher.run SET finished_at = started_at;
    SELECT voucher.open_partition(%(run)s);
    INSERT INTO voucher.assignment (part_id, loaded_by, timestamp, country_code, first_order_ts, last_order_ts,
            total_orders, voucher_amount)
        SELECT 1, %(run)s, '2018-07-01', 'Peru', '2017-07-01', '2018-06-01', row, 2640
            FROM generate_series(1, %(rows)s) AS row"""


class RunningService:
    """A running service and its database. Use `RunningService.open`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.postgres = Postgres(folder, free_port(), secrets.token_hex(8), secrets.token_hex(8))
        self.service = Service(folder, free_port())
        self.tables = Tables(self.postgres.url())

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["RunningService"]:
        """Start the service, and delete everything at the end. First remove what an earlier one left in the folder."""
        running = cls(folder)
        scrub()
        try:
            running._remove()
            folder.mkdir(parents=True)
            running.postgres.start()
            migrate(running.postgres.url())
            running._publish()
            running.start()
            yield running
        finally:
            running._remove()

    def _remove(self) -> None:
        self.stop()
        self.postgres.stop()
        self.postgres.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _publish(self) -> None:
        run, other = RUNS
        self.tables.publish(other, kinds=FLAT)
        self.tables.publish(run)
        with closing(psycopg2.connect(self.postgres.url())) as connection, connection, connection.cursor() as cursor:
            cursor.execute(ASSIGNMENTS, {"run": run, "other": other, "rows": ROWS})

    def start(self) -> None:
        self.service.start(os.environ | {"API_DATABASE_URL": as_role(self.postgres.url(), API)}, "")

    def stop(self) -> None:
        Processes(self._folder).stop("api")

    @contextmanager
    def another(self) -> Iterator[str]:
        """Start another service with one worker. Yield its address."""
        with served(self.postgres.url()) as url:
            yield url

    @contextmanager
    def on_a_full_disk(self) -> Iterator[str]:
        """Start another service that has no space for its log and metrics. Yield its address."""
        with tempfile.TemporaryDirectory() as counts, open("/dev/full", "wb") as log:  # noqa: PTH123
            environ = {"PROMETHEUS_MULTIPROC_DIR": counts, "VOUCHER_WORKERS": "2"}
            with served(self.postgres.url(), prefix=full_disk(counts), stderr=log, **environ) as url:
                yield url

    @contextmanager
    def with_a_deaf_log(self) -> Iterator[str]:
        """Start another service whose log is a pipe that no process reads. Yield its address."""
        reading, writing = os.pipe()
        with (
            os.fdopen(reading),
            os.fdopen(writing, "wb") as log,
            served(self.postgres.url(), stderr=log, VOUCHER_WORKERS="2") as url,
        ):
            yield url

    def load(self, rate: int = 500) -> Load:
        return Load(self.service.port, RUNS, rate)

    def postgres_rests(self) -> bool:
        """Return whether the processes that serve connections are almost idle during half a second."""
        before = self._seconds_of_postgres()
        time.sleep(0.5)
        return self._seconds_of_postgres() - before < 0.05

    def _seconds_of_postgres(self) -> float:
        times = (each.cpu_times() for each in psutil.Process(self.postmaster).children())
        return sum(each.user + each.system for each in times)

    @property
    def server(self) -> Process:
        """The main process of Granian."""
        running = Processes(self._folder).running("api")
        assert running, f"the service does not run. {Processes(self._folder).tail('api')}"
        return running

    @property
    def postmaster(self) -> int:
        running = Processes(self._folder).running("postgres")
        assert running, "Postgres does not run"
        return running.pid

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.server.pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def status(connection: http.client.HTTPConnection) -> str:
    """Return the status of the worker behind the connection: ok, degraded or failing."""
    connection.request("GET", "/readyz")
    return str(json.load(connection.getresponse())["status"])
