"""A Postgres that can be killed, the API with two workers, and the pipeline, on numbered histories."""

import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from dev.ports import free_port
from dev.processes import Processes, until
from dev.services.api import Service
from dev.services.postgres import Postgres
from proofs.publishing import histories
from proofs.publishing.api_readers import Readers, answer, connections
from proofs.support.environment import API, PIPELINE, ROOT, as_role, migrate, scrub
from proofs.support.killable import Ended, Strike, pipeline

KEEP_RUNS = 2

PARTITIONS = """SELECT replace(relname, 'assignment_', '') FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'voucher.assignment'::regclass"""
KEPT = """((SELECT run_id FROM voucher.publication GROUP BY run_id ORDER BY max(at) DESC LIMIT %s)
    UNION SELECT run_id FROM voucher.current_run) AS kept"""
NEEDED = f"SELECT DISTINCT loaded_by FROM voucher.run_part JOIN {KEPT} USING (run_id)"
LOSSES = f"""SELECT format('run %%s is %%s, finished at %%s, and has %%s rows of %%s', run_id, status,
        coalesce(finished_at::text, 'no time'), count(country_code), rows_kept)
    FROM {KEPT} JOIN voucher.run USING (run_id) JOIN voucher.run_part USING (run_id)
        LEFT JOIN voucher.assignment USING (loaded_by, part_id)
    GROUP BY run_id, status, finished_at, rows_kept
    HAVING status <> 'published' OR finished_at IS NULL OR count(country_code) <> rows_kept"""


class RunningStack:
    """A running stack on which histories 1 and 2 were published, in this order. Use `RunningStack.open`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgres = Postgres(folder, free_port(), secrets.token_hex(8), secrets.token_hex(8))
        self._service = Service(folder, free_port())
        self._number = 0
        self._workers: list[http.client.HTTPConnection] = []
        self.settings: dict[str, str] = {}  # further settings of the pipeline

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["RunningStack"]:
        """Start the stack, and delete everything at the end. First remove what an earlier one left in the folder."""
        stack = cls(folder)
        scrub()
        try:
            stack._stop()
            folder.mkdir(parents=True)
            stack.bring_back_postgres()
            migrate(stack._postgres.url())
            for _ in range(2):
                stack.publish(stack.new_history())
            stack.serve()
            yield stack
        finally:
            stack._stop()

    def _stop(self) -> None:
        Processes(self._folder).stop("api")
        self._postgres.stop()
        self._postgres.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def serve(self, **settings: str) -> None:
        """Start or restart the API, with these settings."""
        Processes(self._folder).stop("api")
        self._service.start(os.environ | {"API_DATABASE_URL": self._url(API)} | settings, "")
        self._workers = [each for (each,) in connections(self._service.port, self._server("api")).values()]

    @property
    def address(self) -> str:
        """The address of the API."""
        return self._service.url

    def _url(self, role: str) -> str:
        return as_role(self._postgres.url(), role)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the pipeline's commands."""
        return {
            "PIPELINE_DATABASE_URL": self._url(PIPELINE),
            "TODAY": histories.TODAY.isoformat(),
            "VOUCHER_KEEP_RUNS": str(KEEP_RUNS),
            "TMPDIR": str(self._folder),  # where killed processes leave their files
            **self.settings,
        }

    @property
    def postmaster(self) -> int:
        return self._server("postgres")

    def _server(self, name: str) -> int:
        running = Processes(self._folder).running(name)
        assert running, f"{name} does not run"
        return running.pid

    def bring_back_postgres(self) -> None:
        self._postgres.start()

    def readers(self, processes: int = 1, pause: float = 0) -> Readers:
        return Readers(self._service.port, self._server("api"), processes, pause)

    def new_history(self, customers: Sequence[histories.Customer] = histories.CUSTOMERS) -> Path:
        self._number += 1
        return histories.write(self._folder, self._number, customers)

    def history(self, number: int) -> Path:
        return self._folder / f"history-{number}.parquet"

    def latest(self) -> Path:
        """Return the history that was written last."""
        return self.history(self._number)

    def pipeline(self, *arguments: str, strike: Strike | None = None) -> Ended:
        return pipeline(arguments, self.environ, self._folder, strike)

    def publish(self, history: Path) -> Ended:
        ended = self.pipeline("run", "--source", str(history))
        assert ended.exitcode == 0, ended.said
        return ended

    def command(self, *arguments: str) -> None:
        """Run `python -m pipeline …` as a person does, in a new process."""
        called, environ = [sys.executable, "-m", "pipeline", *arguments], os.environ | self.environ
        ended = subprocess.run(called, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self._postgres.url())) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def current(self) -> str:
        ((run_id,),) = self.query("SELECT run_id FROM voucher.current_run")
        return str(run_id)

    def previous(self) -> str:
        """Return the run that was published before the current one."""
        ((run_id,),) = self.query("SELECT previous_run_id FROM voucher.publication ORDER BY at DESC LIMIT 1")
        return str(run_id)

    def histories(self) -> dict[str, int]:
        """Return the history of each recorded run."""
        return {
            run: histories.number_of(source) for run, source in self.query("SELECT run_id, source FROM voucher.run")
        }

    def settle(self) -> set[tuple[str, int]]:
        """Wait until every worker is connected to Postgres and answers from its current run.

        Return what all workers then answer to all customers: the runs that they name, each with the history of the
        amount, or the text of an error with 0.
        """
        current = self.current()

        def settled(worker: http.client.HTTPConnection) -> bool:
            worker.request("GET", "/readyz")
            health = json.load(worker.getresponse())
            return health["run_id"] == current and "database" in health["ok"]

        late = not until(lambda: all(map(settled, self._workers)), 20, every=0.01)
        answers = {answer(worker, customer) for worker in self._workers for customer in histories.CUSTOMERS}
        return answers | ({("not every worker found Postgres and its run within 20 s", 0)} if late else set())

    def orphans(self) -> set[str]:
        """Return the runs of partitions that no kept run needs."""
        return {run for (run,) in self.query(PARTITIONS)} - {run for (run,) in self.query(NEEDED, KEEP_RUNS)}

    def losses(self) -> list[str]:
        """Return what is wrong with the kept runs."""
        return [fault for (fault,) in self.query(LOSSES, KEEP_RUNS)]
