"""Measure the figures of the estimate in docs/growing.md on 10 million rows. Used by `python -m benchmarks estimate`.

The figures are the time per row without writing it, and with writing kept rows to Postgres or to S3, and the bytes of
each row.
"""

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from time import perf_counter

import psycopg2

from benchmarks.pipeline.fixtures import Fixtures, fixtures, thinned
from benchmarks.pipeline.timed_runs import pipeline
from benchmarks.pipeline.worker_process import worker_process
from benchmarks.report import show
from dev.services.s3 import BUCKET
from pipeline.evaluate import engine
from pipeline.load.steps import BASE_MEMORY
from pipeline.load.workers import worker_pool
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.settings import DEFAULT_MEMORY
from pipeline.source import copies
from pipeline.source.parts import Part, list_parts
from sample.parts import PART_ROWS, write_parts

ROWS, FEW = 10_000_000, 40_000
CLEANED = f"s3://{BUCKET}/cleaned/"
PARTITIONS = """SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits
    WHERE inhparent = 'voucher.assignment'::regclass"""


def run(quick: bool) -> None:
    """Print the table. Raise StackError or PipelineError if something fails."""
    rows = FEW if quick else ROWS
    with fixtures() as here:
        parts = write_parts(here.folder / "parts", rows, -(-rows // PART_ROWS))
        small = thinned(parts[0], 1000, here.folder / "warm-up.parquet")
        warm_up = here.s3.put(BUCKET, small.name, small)
        with here.stored(parts, "history") as history:
            figures = _figures(here, history, warm_up, rows, sum(part.stat().st_size for part in parts))
    show([{"figure": name, "measured": value} for name, value in figures.items()])


def _figures(here: Fixtures, history: str, warm_up: str, rows: int, size: int) -> Mapping[str, str]:
    with worker_process(here.s3.environment, here.folder / "judging.log") as there:
        there.call(judge, warm_up)
        judging = there.call(judge, history)
    with pipeline(here, history, warm_up) as loaded:
        kept, loading = loaded.kept, loaded.timed
        with closing(psycopg2.connect(here.postgres.admin_url(loaded.database))) as connection:
            cursor = connection.cursor()
            cursor.execute(PARTITIONS)
            [(in_postgres,)] = cursor.fetchall()
    with pipeline(here, history, warm_up, rows=CLEANED) as loaded:
        storing = loaded.timed
        pages = here.s3.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="cleaned/")
        in_s3 = sum(each["Size"] for page in pages for each in page["Contents"])
    return {
        "r: read, judge and count a row": f"{judging / rows * 1e6:.2f} µs",
        "w: the same, and load it into Postgres if it is kept": f"{loading.micros:.2f} µs",
        "s: the same as r, and write it to S3 as Parquet if it is kept": f"{storing.micros:.2f} µs",
        "h: a row of history as Parquet": f"{size / rows:.1f} bytes",
        "g: a kept row in Postgres": f"{in_postgres / kept:.0f} bytes",
        "q: a kept row as Parquet": f"{in_s3 / kept:.1f} bytes",
        "share of rows that are kept": f"{kept / rows:.1%}",
    }


def judge(history: str) -> float:
    """Return the seconds to fetch and identify all parts, and then to fetch and count them, as `load` does.

    Runs in the worker process.
    """
    began = perf_counter()
    memory = DEFAULT_MEMORY - BASE_MEMORY
    parts = list_parts(history)
    with worker_pool("", memory) as workers, engine.open_duckdb(engine.Limits(memory, workers.size)) as within:
        for step in (copies.inspect, partial(_count, within, RuleBook.load(), SegmentBook.load())):
            for _, found in workers.map(step, parts):
                if isinstance(found, Exception):
                    raise found
    return perf_counter() - began


def _count(within: engine.DuckDB, rules: RuleBook, segments: SegmentBook, part: Part) -> None:
    with copies.local_copy(part) as path, engine.evaluate(path, rules, segments, within=within) as evaluated:
        evaluated.tally()
