"""The pipeline, from an S3 object to published answers, compared with the limit and the common way.

All are measured in one run on one machine. Called by `python -m benchmarks pipeline`.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.pipeline.fixtures import Fixtures, fixtures, thinned
from benchmarks.pipeline.timed_runs import (
    COMMON_WAY,
    LIMIT,
    PIPELINE,
    Timed,
    in_the_common_way,
    limit,
    middle,
    pipeline,
)
from benchmarks.report import show, verdict
from dev.services.s3 import BUCKET, KEY
from sample.history import write_sample

MOST, LEAST = 5, 20  # required: pipeline : limit at most, common way : pipeline at least
WARM_UP, WARM_UP_ROWS = "warm-up.parquet", 1000


@dataclass(frozen=True)
class Effort:
    """rounds: of pipeline and limit; slow_rounds: of the common way; rows: about so many of the source, or all."""

    rounds: int = 5
    slow_rounds: int = 2
    rows: int | None = None


QUICK = Effort(rounds=1, slow_rounds=1, rows=20_000)


def run(source: Path | None, quick: bool) -> None:
    """Print the tables. Raise StackError if something fails or the common way has other answers."""
    effort = QUICK if quick else Effort()
    ours: list[Timed] = []
    limits: list[Timed] = []
    slow: list[Timed] = []
    with fixtures() as here:
        history, warm_up = _histories(here, source, effort.rows)
        for _ in range(effort.rounds):
            with pipeline(here, history, warm_up) as loaded:
                ours.append(loaded.timed)
                limits.append(limit(here, loaded))
            print(f"{PIPELINE} {ours[-1].seconds:.2f} s, {LIMIT} {limits[-1].seconds:.2f} s", flush=True)
        for _ in range(effort.slow_rounds):
            slow.append(in_the_common_way(here, KEY, WARM_UP, loaded))
            print(f"{COMMON_WAY} {slow[-1].seconds:.2f} s", flush=True)
    print(f"\n{psutil.cpu_count()} CPUs; {loaded.timed.rows:,} rows, of which {loaded.kept:,} are kept.")
    print(f"{effort.rounds} rounds of {PIPELINE} and {LIMIT} in turn, {effort.slow_rounds} of {COMMON_WAY}; medians.\n")
    _show(ours, limits, slow)


def _histories(here: Fixtures, source: Path | None, rows: int | None) -> tuple[str, str]:
    """Return the addresses of the history to measure, and of a small one."""
    file = source or here.folder / "sample.parquet"
    if source is None:
        write_sample(file)
    if rows:
        file = thinned(file, rows, here.folder / "few.parquet")
    small = thinned(file, WARM_UP_ROWS, here.folder / WARM_UP)
    return here.s3.put(BUCKET, KEY, file), here.s3.put(BUCKET, WARM_UP, small)


def _show(ours: list[Timed], limits: list[Timed], slow: list[Timed]) -> None:
    usual = middle(ours)
    show([usual.row(PIPELINE), middle(limits).row(LIMIT), middle(slow).row(COMMON_WAY)])
    show(
        [
            {"step": name, "seconds": f"{seconds:.2f}", "share": f"{seconds / usual.seconds:.0%}"}
            for name, seconds in usual.steps.items()
        ]
    )
    to_limit = median(one.seconds / two.seconds for one, two in zip(ours, limits, strict=True))
    to_slow = middle(slow).seconds / usual.seconds
    show(
        [
            verdict(f"{PIPELINE} : {LIMIT}", f"at most {MOST}", f"{to_limit:.2f}", to_limit <= MOST),
            verdict(f"{COMMON_WAY} : {PIPELINE}", f"at least {LEAST}", f"{to_slow:.2f}", to_slow >= LEAST),
        ]
    )
