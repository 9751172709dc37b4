"""The pipeline's command line in its own process, which kills itself, or Postgres, at a named point.

The points are before and after each commit and each request to a receiver of notices, after each statement that
writes, and in the middle of the rows. The product has no hook for this, so psycopg2 and requests are wrapped here. The
process is forked from a server that has imported the pipeline, so that it starts in 10 ms.
"""

import contextlib
import functools
import os
import re
import runpy
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import requests

from dev.processes import start_time, until
from pipeline import run

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "proofs.publishing.histories", "sqlglot.dialects.duckdb"])
STEPS = ("plan", "load", "audit", "publish", "prune")
WRITE = re.compile(r"(?i)\b(INSERT INTO|(?<!FOR )UPDATE|DELETE FROM|LOCK TABLE|TRUNCATE)\s+([\w.]+)|\b(voucher\.\w+)\(")


@dataclass(frozen=True)
class Strike:
    """The point, and what to kill: the pipeline itself, or the server with the main process `postmaster`."""

    point: str
    postmaster: int | None = None

    def hit(self) -> None:
        if self.postmaster is None:
            os.kill(os.getpid(), signal.SIGKILL)
        postmaster = psutil.Process(self.postmaster)
        postmaster.suspend()  # otherwise it would start new ones, and its children would notice its end and exit
        server = [*postmaster.children(recursive=True), postmaster]
        alive = {process.pid: start_time(process.pid) for process in server}
        for process in server:
            process.kill()
        until(lambda: not any(then and start_time(pid) == then for pid, then in alive.items()), 10, every=0.001)


@dataclass(frozen=True)
class Ended:
    """exitcode: negative for a signal, None after a timeout; said: its output; points: those it passed."""

    exitcode: int | None
    said: str
    points: tuple[str, ...]

    @property
    def last_words(self) -> str:
        return (self.said.strip().splitlines() or [""])[-1]


def pipeline(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    folder: Path,
    strike: Strike | None = None,
    seconds: float = 60,
) -> Ended:
    """Run `python -m pipeline …` until it ends or is killed."""
    said, passed = folder / "said", folder / "passed"
    for path in (said, passed):
        path.write_text("")
    process = FORKS.Process(target=_main, args=(arguments, environ, said, passed, strike))
    process.start()
    process.join(seconds)
    exitcode = process.exitcode
    process.kill()
    process.join()
    return Ended(exitcode, said.read_text(), tuple(passed.read_text().splitlines()))


def _main(
    arguments: Sequence[str], environ: Mapping[str, str], said: Path, passed: Path, strike: Strike | None
) -> None:
    os.environ.update(environ)
    tempfile.tempdir = None  # so that TMPDIR is read again
    with said.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    with passed.open("w", buffering=1) as file:
        _Trace(lambda point: print(point, file=file), strike).install(environ["PIPELINE_DATABASE_URL"])
        sys.argv = ["pipeline", *arguments]
        runpy.run_module("pipeline", run_name="__main__", alter_sys=True)


class _Trace:
    def __init__(self, tell: Callable[[str], None], strike: Strike | None) -> None:
        self._tell, self._strike = tell, strike
        self._step = "start"
        self._times: Counter[str] = Counter()

    def passed(self, what: str) -> None:
        name = f"{self._step}: {what}"
        self._times[name] += 1
        point = name if self._times[name] == 1 else f"{name} ({self._times[name]})"
        self._tell(point)
        if self._strike and self._strike.point == point:
            self._strike.hit()

    def install(self, url: str) -> None:
        for step in STEPS:
            setattr(run, step, self._in_step(step, getattr(run, step)))
        self._wrap_psycopg2(functools.partial(psycopg2.connect, url))
        vars(requests)["post"] = functools.partial(self._request, requests.post)

    def _in_step(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def within(*arguments: Any, **options: Any) -> Any:
            self._step = step
            return function(*arguments, **options)

        return within

    def _request(self, post: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.passed("before the request")
        answer = post(*arguments, **options)
        self.passed("after the answer")
        return answer

    def _wrote(self, connection: Any, statement: bytes | str) -> None:
        text = statement.decode() if isinstance(statement, bytes) else statement
        if not (found := WRITE.search(text)):
            return
        what = found[3] or f"{found[1]} {found[2]}"
        before: frozenset[str] = getattr(connection, "wrote", frozenset())
        connection.wrote = before | {what}
        if what not in before:  # otherwise it is another row of the same
            self.passed(f"after {what}")

    def _commit(self, connection: Any, commit: Callable[[], None]) -> None:
        if not getattr(connection, "wrote", None):
            return commit()
        self.passed("before COMMIT")
        commit()
        connection.wrote = frozenset()
        return self.passed("after COMMIT")

    def _wrap_psycopg2(self, look: Callable[[], Any]) -> None:
        trace, connect = self, psycopg2.connect

        class Connection(psycopg2.extensions.connection):
            def commit(self) -> None:
                trace._commit(self, super().commit)

        def traced(*arguments: Any, cursor_factory: Any = psycopg2.extensions.cursor, **options: Any) -> Any:
            class Cursor(cursor_factory):  # type: ignore[misc]  # any cursor of the caller
                def execute(self, query: bytes | str, vars: Any = None) -> None:  # noqa: A002
                    super().execute(query, vars)
                    trace._wrote(self.connection, query)

                def copy_expert(self, sql: str, file: Any, size: int) -> None:
                    super().copy_expert(sql, _Halves(file, lambda: trace._received(look)), size)
                    trace._wrote(self.connection, "INSERT INTO assignment")

            return connect(*arguments, connection_factory=Connection, cursor_factory=Cursor, **options)

        vars(psycopg2)["connect"] = traced

    def _received(self, look: Callable[[], Any]) -> None:
        def some() -> bool:
            with contextlib.closing(look()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT coalesce(max(tuples_processed), 0) FROM pg_stat_progress_copy")
                return bool(cursor.fetchone()[0])

        if not until(some, 10, every=0.001):
            raise AssertionError("Postgres got no row before the second half")
        self.passed("in the middle of the rows")


class _Halves:
    """A stream that makes a call in the middle."""

    def __init__(self, file: Any, between: Callable[[], None]) -> None:
        content = file.read()
        self._left = [content[: len(content) // 2], between, content[len(content) // 2 :]]

    def read(self, _size: int) -> bytes:
        while self._left:
            head = self._left.pop(0)
            if isinstance(head, bytes):
                return head
            head()
        return b""
