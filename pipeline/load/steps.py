"""The two steps that read parts of the history, many at the same time.

`inspect_parts` runs when a run is planned, `load` when it is loaded. Each part is read in a thread of this process or
in a worker of a Dask cluster, by the same code.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from pipeline import PipelineError
from pipeline.evaluate import engine
from pipeline.evaluate.totals import aggregate
from pipeline.load import tables
from pipeline.load.progress import progress
from pipeline.load.workers import worker_pool
from pipeline.publish.database import Database
from pipeline.publish.runs import Run
from pipeline.rules.rulebook import UNREADABLE, RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.settings import Settings, database_url, memory
from pipeline.source import copies
from pipeline.source.parts import Part
from pipeline.source.s3 import SourceError

log = logging.getLogger("pipeline")

BASE_MEMORY = 512  # MiB of a process beside what DuckDB takes
MAX_SHOWN = 10  # errors in a message; the others are counted


@dataclass(frozen=True)
class Job:
    """What is the same for each part of a run. It passes through a scheduler, so it holds no secret."""

    run: Run
    rules: RuleBook
    segments: SegmentBook
    anonymous: bool
    rows_uri: str


def inspect_parts(settings: Settings, parts: Sequence[Part]) -> list[Part]:
    """Read each part whole, and return them with what was found. Raises SourceError naming those that can't be read."""
    inspected: list[Part] = []
    errors: list[PipelineError] = []
    with (
        worker_pool(settings.dask, settings.memory - BASE_MEMORY) as workers,
        progress("plan", len(parts), sum(part.size for part in parts), "bytes") as bar,
    ):
        for part, found in workers.map(partial(copies.inspect, anonymous=settings.anonymous), parts):
            bar.advance(part.size)
            bar.part_done()
            if isinstance(found, Part):
                inspected.append(found)
            else:
                errors.append(found)
    _raise(errors, len(parts))
    return inspected


def load(settings: Settings, database: Database, run: Run, rules: RuleBook, segments: SegmentBook) -> None:
    """Write the kept rows and counts of each part that is not loaded yet, and then the run's answers.

    If a part can't be read, load the others before raising PipelineError, which names each that failed.
    """
    if reused := tables.prepare(database, run.run_id, settings.rows):
        log.info("load: %s parts were read before, by the same rules and segments", f"{reused:,}")
    if parts := tables.unread_parts(database, run.run_id):
        located = [(part_id, copies.located(part, settings.source)) for part_id, part in parts]
        _load(settings, Job(run, rules, segments, settings.anonymous, settings.rows), located)
    limits = engine.Limits(settings.memory - BASE_MEMORY, threads=2)
    results = aggregate(tables.tallies(database, run.run_id), rules, segments, limits)
    tables.write_results(database, run.run_id, results)
    log.info("load: %s rows in, %s kept", f"{results.rows_in:,}", f"{results.rows_kept:,}")
    for name, matched, dropped in results.by_rule():
        if matched == 0 and name in UNREADABLE:
            continue
        log.info("load:   %-32s matched %10s   dropped %10s", name, f"{matched:,}", f"{dropped:,}")


def _load(settings: Settings, job: Job, parts: list[tuple[int, Part]]) -> None:
    errors: list[PipelineError] = []
    with (
        worker_pool(settings.dask, settings.memory - BASE_MEMORY) as workers,
        progress("load", len(parts), sum(part.rows for _, part in parts)) as bar,
        ExitStack() as stack,
    ):
        if settings.dask:
            step = partial(load_part_in_worker, job, min(workers.size, len(parts)), workers.size)
        else:
            limits = engine.Limits(settings.memory - BASE_MEMORY, workers.size)
            within = stack.enter_context(engine.open_duckdb(limits))
            step = partial(load_part, job, Database(settings.database_url), within, on_rows=bar.advance)
        for (_, part), error in workers.map(step, parts):
            if settings.dask:
                bar.advance(part.rows)
            bar.part_done()
            if error:
                errors.append(error)
    _raise(errors, len(parts))


def load_part_in_worker(job: Job, at_once: int, threads: int, numbered: tuple[int, Part]) -> None:
    """Load one part in a worker of a cluster that loads `at_once` parts at the same time with `threads` threads.

    The database's address, the keys for S3 and the memory are those of the worker's environment. Raises PipelineError.
    """
    if (job.rules.hash, job.segments.hash) != (job.run.rules_hash, job.run.segments_hash):
        raise PipelineError(
            f"run {job.run.run_id} was planned by another version of the software; use the same version everywhere"
        )
    limits = engine.Limits((memory() - BASE_MEMORY) // at_once, threads // at_once)
    with engine.open_duckdb(limits) as within:
        load_part(job, Database(database_url(os.environ)), within, numbered)


def load_part(
    job: Job,
    database: Database,
    within: engine.DuckDB,
    numbered: tuple[int, Part],
    on_rows: Callable[[int], None] = lambda _: None,
) -> None:
    """Load one part, given with its part_id; `on_rows` is called with numbers of loaded rows. Raises PipelineError."""
    part_id, part = numbered
    evaluate = partial(engine.evaluate, within=within, today=job.run.today, name=part.uri, on_rows=on_rows)
    with (
        copies.local_copy(part, job.anonymous) as path,
        evaluate(path, job.rules, job.segments) as evaluated,
    ):
        tables.write_part(database, job.run.run_id, part_id, evaluated, job.rows_uri)


def _raise(errors: Sequence[PipelineError], parts: int) -> None:
    """Raise the only error as it is, and several as one."""
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    lines = sorted(map(str, errors))
    more = [f"and {len(lines) - MAX_SHOWN:,} more"] if len(lines) > MAX_SHOWN else []
    raise SourceError("\n  ".join([f"{len(errors):,} of {parts:,} parts can't be used:", *lines[:MAX_SHOWN], *more]))
