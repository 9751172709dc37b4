"""One timed run of the pipeline, the limit or the common way. Used by `estimate`, `growth` and `pipeline`.

The limit is the time of Postgres alone for the same rows: COPY of a binary file on its own machine, into the table from
which the file was written. The common way is `reference/common_way.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from os import getpid
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg2

from benchmarks.pipeline import memory
from benchmarks.pipeline.fixtures import Fixtures
from benchmarks.pipeline.worker_process import WorkerProcess, worker_process
from benchmarks.reference import common_way
from dev.processes import StackError
from dev.services.s3 import BUCKET
from pipeline import run
from pipeline.settings import Settings

STEPS = ("plan", "load", "audit", "publish", "prune")
ACTOR = "benchmarks"
PIPELINE, LIMIT, COMMON_WAY = "pipeline", "the limit", "the common way"

Answers = list[tuple[Any, ...]]  # country, kind, segment, amount


@dataclass(frozen=True)
class Timed:
    """rows: of the history; steps: seconds by name; process, postgres: their peak memory, in MiB."""

    rows: int
    steps: Mapping[str, float]
    postgres: float
    process: float | None = None

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())

    @property
    def micros(self) -> float:
        """Microseconds per row."""
        return self.seconds / self.rows * 1e6

    def row(self, name: str) -> dict[str, str]:
        """Return a line of a table."""
        return {
            "": name,
            "seconds": f"{self.seconds:.2f}",
            "rows/s": f"{self.rows / self.seconds:,.0f}",
            "µs/row": f"{self.micros:.2f}",
            "process": f"{self.process:,.0f} MiB" if self.process else "",
            "Postgres": f"{self.postgres:,.0f} MiB",
        }


@dataclass(frozen=True)
class Loaded:
    """A published run in `database`, which exists only within the context that yields it."""

    timed: Timed
    database: str
    kept: int  # rows
    answers: Answers


@contextmanager
def pipeline(fixtures: Fixtures, source: str, warm_up: str, rows: str = "") -> Iterator[Loaded]:
    """Publish the history at `source` to a new database. `warm_up` is a small history, which runs first in another one.

    `rows` is where cleaned rows go as Parquet, '' for Postgres.
    """
    with _worker_process(fixtures) as there, fixtures.database() as name:
        with fixtures.database() as elsewhere:
            there.call(run.run, Settings(warm_up, fixtures.postgres.url(elsewhere)), ACTOR, force="a warm-up")
        with _watched(fixtures, there) as most:
            steps = there.call(_by_step, Settings(source, fixtures.postgres.url(name), rows=rows))
        with closing(psycopg2.connect(fixtures.postgres.url(name))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT rows_in, rows_kept FROM voucher.run JOIN voucher.current_run USING (run_id)")
            [(total, kept)] = cursor.fetchall()
            answers = _answers(cursor, "voucher.segment JOIN voucher.current_run USING (run_id)")
        yield Loaded(Timed(total, steps, most["Postgres"], most["process"]), name, kept, answers)


def limit(fixtures: Fixtures, loaded: Loaded) -> Timed:
    """Write the run's rows to a file, empty their table, and let Postgres read them back. Only the last is timed."""
    with (
        closing(psycopg2.connect(fixtures.postgres.admin_url(loaded.database))) as connection,
        connection.cursor() as cursor,
    ):
        connection.autocommit = True
        cursor.execute("SHOW data_directory")
        file = Path(cursor.fetchall()[0][0]).with_name("kept.binary")  # on the same disk, where Postgres may write
        try:
            cursor.execute("COPY (SELECT * FROM voucher.assignment) TO %s (FORMAT binary)", (str(file),))
            cursor.execute("TRUNCATE voucher.assignment")
            cursor.execute("CHECKPOINT")
            with memory.Watch(fixtures.postgres_pid) as postgres:
                began = perf_counter()
                cursor.execute("COPY voucher.assignment FROM %s (FORMAT binary)", (str(file),))
                seconds = perf_counter() - began
        finally:
            file.unlink(missing_ok=True)
        if cursor.rowcount != loaded.kept:
            raise StackError(f"{cursor.rowcount:,} rows came back of the {loaded.kept:,} that the pipeline kept.")
    return Timed(loaded.timed.rows, {"COPY": seconds}, postgres.peak)


def in_the_common_way(fixtures: Fixtures, key: str, warm_up: str, loaded: Loaded) -> Timed:
    """Load the object `key` with pandas, after the small object `warm_up`. Raise StackError if the result differs from
    the pipeline's.
    """
    with _worker_process(fixtures) as there, fixtures.database() as name:
        with fixtures.database() as elsewhere:
            there.call(common_way.run, BUCKET, warm_up, fixtures.postgres.url(elsewhere))
        with _watched(fixtures, there) as most:
            kept, seconds = there.call(_in_the_common_way, BUCKET, key, fixtures.postgres.url(name))
        with closing(psycopg2.connect(fixtures.postgres.url(name))) as connection, connection.cursor() as cursor:
            compare(loaded, kept, _answers(cursor, "segments"))
    return Timed(loaded.timed.rows, {"all": seconds}, most["Postgres"], most["process"])


def compare(loaded: Loaded, kept: int, answers: Answers) -> None:
    """Raise StackError unless the common way kept as many rows as the pipeline and has the same answers."""
    if kept != loaded.kept:
        raise StackError(
            f"The common way kept {kept:,} rows, the pipeline {loaded.kept:,}. One of them is wrong, or the rules of "
            "pipeline/rules.toml are others than those of benchmarks/reference/common_way.py."
        )
    if differing := set(loaded.answers).symmetric_difference(answers):
        raise StackError(f"The common way and the pipeline differ in {sorted(differing)[:4]}.")


def middle(timed: Iterable[Timed]) -> Timed:
    """Return the one with the median of seconds. Of an even number, return the faster of the two in the middle."""
    by_seconds = sorted(timed, key=lambda each: each.seconds)
    return by_seconds[(len(by_seconds) - 1) // 2]


@contextmanager
def _worker_process(fixtures: Fixtures) -> Iterator[WorkerProcess]:
    with worker_process(fixtures.s3.environment, fixtures.folder / "worker.log") as there:
        yield there


@contextmanager
def _watched(fixtures: Fixtures, there: WorkerProcess) -> Iterator[dict[str, float]]:
    """After a checkpoint, yield a dictionary that has the peak memory in MiB once the context has ended."""
    most: dict[str, float] = {}
    fixtures.postgres.execute("CHECKPOINT")
    with memory.Watch(fixtures.postgres_pid) as postgres, memory.Watch(there.call(getpid), itself=False) as children:
        yield most
    most |= {"Postgres": postgres.peak, "process": there.call(memory.peak) + children.peak}


def _by_step(settings: Settings) -> dict[str, float]:
    """Return the seconds of each step. Runs in the worker process."""
    times = [perf_counter()]
    run_id = run.plan(settings)
    times.append(perf_counter())
    steps: Sequence[Callable[[], object]] = (
        lambda: run.load(settings, run_id),
        lambda: run.audit(settings, run_id),
        lambda: run.publish(settings, run_id, ACTOR),
        lambda: run.prune(settings),
    )
    for step in steps:
        step()
        times.append(perf_counter())
    return {name: end - began for name, (began, end) in zip(STEPS, pairwise(times), strict=True)}


def _in_the_common_way(bucket: str, key: str, database: str) -> tuple[int, float]:
    """Return the number of kept rows, and the seconds. Runs in the worker process."""
    began = perf_counter()
    kept = common_way.run(bucket, key, database)
    return kept, perf_counter() - began


def _answers(cursor: Any, table: str) -> Answers:
    cursor.execute(f"SELECT country_code, segment_name, segment, voucher_amount::float FROM {table} ORDER BY 1, 2, 3")
    return [tuple(row) for row in cursor.fetchall()]
