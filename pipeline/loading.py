"""The two steps that read parts of the history, many at the same time: identify, which `run.plan` calls, and load.

What is done with one part runs in a thread of this process or in a worker of a Dask cluster, and is the same.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from pipeline import PipelineError, engine, source, store
from pipeline.crew import crew
from pipeline.database import Database
from pipeline.progress import progress
from pipeline.results import add_up
from pipeline.rules import UNREADABLE, RuleBook
from pipeline.s3 import SourceError
from pipeline.segments import SegmentBook
from pipeline.settings import Settings, database_url, memory
from pipeline.source import Part

log = logging.getLogger("pipeline")

BASE_MEMORY = 512  # MiB, of a process beside what DuckDB takes
SHOWN = 10  # faults; the rest are counted


@dataclass(frozen=True)
class Job:
    """What is done with each part of a run. No secret is in it, as it may pass through a scheduler."""

    run: store.Run
    rules: RuleBook
    segments: SegmentBook
    anonymous: bool
    rows_uri: str


def identify(settings: Settings, parts: Sequence[Part]) -> list[Part]:
    """The parts with what reading them tells; each is read whole. Raises SourceError, naming those that can't be."""
    identified: list[Part] = []
    faults: list[PipelineError] = []
    with (
        crew(settings.dask, settings.memory - BASE_MEMORY) as workers,
        progress("plan", len(parts), sum(part.size for part in parts), "bytes") as told,
    ):
        for part, found in workers.each(partial(source.identified, anonymous=settings.anonymous), parts):
            told.advance(part.size)
            told.part_done()
            if isinstance(found, Part):
                identified.append(found)
            else:
                faults.append(found)
    _refuse(faults, len(parts))
    return identified


def load(settings: Settings, database: Database, run: store.Run, rules: RuleBook, segments: SegmentBook) -> None:
    """Write what the rules keep of each part that was not read before, its counts beside it, and the run's answers.

    Goes on when a part can't be read, so that all such are named; what was loaded stays so. Raises PipelineError.
    """
    reused = store.begin(database, run.run_id, settings.rows)
    if reused:
        log.info("load: %s parts were read before, by the same rules and segments", f"{reused:,}")
    if parts := store.unloaded(database, run.run_id):
        known = [(part_id, source.located(part, settings.source)) for part_id, part in parts]
        _load(settings, run, rules, segments, known)
    limits = engine.Limits(settings.memory - BASE_MEMORY, threads=2)
    results = add_up(store.tallies(database, run.run_id), rules, segments, limits)
    store.finish(database, run.run_id, results)
    log.info("load: %s rows in, %s kept", f"{results.rows_in:,}", f"{results.rows_kept:,}")
    for name, matched, dropped in results.by_rule():
        if matched == 0 and name in UNREADABLE:
            continue
        log.info("load:   %-32s matched %10s   dropped %10s", name, f"{matched:,}", f"{dropped:,}")


def _load(
    settings: Settings, run: store.Run, rules: RuleBook, segments: SegmentBook, parts: list[tuple[int, Part]]
) -> None:
    job = Job(run, rules, segments, settings.anonymous, settings.rows)
    faults: list[PipelineError] = []
    with (
        crew(settings.dask, settings.memory - BASE_MEMORY) as workers,
        progress("load", len(parts), sum(part.rows for _, part in parts)) as told,
        ExitStack() as stack,
    ):
        if settings.dask:
            step = partial(load_part_in_worker, job, min(workers.size, len(parts)), workers.size)
        else:
            limits = engine.Limits(settings.memory - BASE_MEMORY, workers.size)
            within = stack.enter_context(engine.opened(limits))
            step = partial(load_part, job, Database(settings.database_url), within, told=told.advance)
        for (_, part), fault in workers.each(step, parts):
            if settings.dask:
                told.advance(part.rows)
            told.part_done()
            if fault:
                faults.append(fault)
    _refuse(faults, len(parts))


def load_part_in_worker(job: Job, at_once: int, threads: int, numbered: tuple[int, Part]) -> None:
    """Load one part in a worker of a cluster, which loads so many `at_once` by so many threads. The database's address,
    the keys of S3 and what memory there is are those of its own environment. Raises PipelineError.
    """
    if (job.rules.hash, job.segments.hash) != (job.run.rules_hash, job.run.segments_hash):
        raise PipelineError(
            f"run {job.run.run_id} was planned by another version of the software; let all have the same"
        )
    limits = engine.Limits((memory() - BASE_MEMORY) // at_once, threads // at_once)
    with engine.opened(limits) as within:
        load_part(job, Database(database_url(os.environ)), within, numbered)


def load_part(
    job: Job,
    database: Database,
    within: engine.DuckDB,
    numbered: tuple[int, Part],
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Load one part, whose part_id comes with it; `told` hears of rows that are done with. Raises PipelineError."""
    part_id, part = numbered
    judged = partial(engine.judged, within=within, today=job.run.today, name=part.uri, told=told)
    with source.fetched(part, job.anonymous) as (path, _), judged(path, job.rules, job.segments) as opened:
        store.load_part(database, job.run.run_id, part_id, opened, job.rows_uri)


def _refuse(faults: Sequence[PipelineError], parts: int) -> None:
    if not faults:
        return
    if len(faults) == 1:
        raise faults[0]
    lines = sorted(map(str, faults))
    more = [f"and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    raise SourceError("\n  ".join([f"{len(faults):,} of {parts:,} parts can't be used:", *lines[:SHOWN], *more]))
