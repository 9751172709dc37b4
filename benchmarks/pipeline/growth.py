"""The pipeline on histories of growing size, from an S3 prefix to published answers, each compared with the limit.

Called by `python -m benchmarks growth`.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.style
import psutil
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from benchmarks.pipeline.fixtures import Fixtures, fixtures, thinned
from benchmarks.pipeline.timed_runs import LIMIT, PIPELINE, Timed, limit, middle, pipeline
from benchmarks.report import Row, show, verdict
from dev.processes import StackError
from dev.services.s3 import BUCKET
from sample.parts import PART_ROWS, write_parts

SIZES = (500_000, 5_000_000, 50_000_000, 100_000_000)
FLAT, MOST, MEMORY = 1.3, 2, 2048  # limits: longest : shortest time per row, pipeline : limit at the largest size, MiB
REPEATED = 5_000_000  # rows; up to this size, three measurements
ROW, SERVERS = 250, 4_000_000_000  # bytes of disk: per row, in parts, S3 stand-in, table and the limit's file; for WAL
PLOT = Path(".local/benchmarks/growth.png")
STYLE = Path(__file__).parents[2] / "notebooks" / "voucher.mplstyle"


@dataclass(frozen=True)
class Effort:
    sizes: Sequence[int] = SIZES  # rows
    part: int = PART_ROWS
    repeats: int = 3


QUICK = Effort((10_000, 20_000, 40_000), part=10_000, repeats=1)


@dataclass(frozen=True)
class Size:
    """The measurements at one size."""

    ours: Timed
    limit: Timed

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.limit.seconds

    def row(self) -> Row:
        steps = {name: f"{seconds:.2f}" for name, seconds in self.ours.steps.items()}
        figures = self.ours.row(f"{self.ours.rows:,}")
        return {
            "rows": figures.pop(""),
            **steps,
            **figures,
            LIMIT: f"{self.limit.seconds:.2f}",
            "ratio": f"{self.ratio:.2f}",
        }


def run(rows: Sequence[int] | None, quick: bool) -> None:
    """Print the tables and draw the plot. Raise StackError if something fails or the disk is too small."""
    effort = QUICK if quick else Effort()
    sizes = sorted(rows or effort.sizes)
    _check_disk(sizes[-1])
    measured: list[Size] = []
    with fixtures() as here:
        parts = write_parts(here.folder / "parts", sizes[-1], -(-sizes[-1] // effort.part))
        small = thinned(parts[0], 1000, here.folder / "warm-up.parquet")
        warm_up = here.s3.put(BUCKET, small.name, small)
        for size in sizes:
            some = parts[: max(1, round(size / sizes[-1] * len(parts)))]
            measured.append(_measured(here, some, warm_up, effort.repeats if size <= REPEATED else 1))
            show([measured[-1].row()])
    print(f"{psutil.cpu_count()} CPUs; parts of {effort.part:,} rows; of the memory, the most that was taken.\n")
    show([size.row() for size in measured])
    if len(measured) > 1:
        print(_fixed(*measured[:2]), "\n")
    show(_verdicts(measured))
    print(f"{_drawn(measured, PLOT.with_stem('growth-quick') if quick else PLOT)} shows the time of a row by size.")


def _check_disk(rows: int) -> None:
    folder, needed = tempfile.gettempdir(), rows * ROW + SERVERS
    if (free := shutil.disk_usage(folder).free) < needed:
        raise StackError(
            f"{rows:,} rows take {needed / 1e9:,.0f} GB in {folder}, where {free / 1e9:,.0f} GB are free. Make room, "
            'set TMPDIR, or measure fewer: make bench ARGS="growth --rows 500000 5000000"'
        )


def _measured(here: Fixtures, parts: list[Path], warm_up: str, times: int) -> Size:
    """Return the medians of so many measurements. Objects, databases and files are deleted afterwards."""
    ours: list[Timed] = []
    limits: list[Timed] = []
    rows = sum(pq.read_metadata(part).num_rows for part in parts)
    with here.stored(parts, "history") as source:
        for _ in range(times):
            with pipeline(here, source, warm_up) as loaded:
                if loaded.timed.rows != rows:
                    raise StackError(f"The pipeline read {loaded.timed.rows:,} rows of {rows:,}.")
                ours.append(loaded.timed)
                limits.append(limit(here, loaded))
            took = f"{PIPELINE} {ours[-1].seconds:.2f} s, {LIMIT} {limits[-1].seconds:.2f} s"
            print(f"{rows:,} rows: {took}", flush=True)
    return Size(middle(ours), middle(limits))


def _fixed(smallest: Size, next_one: Size) -> str:
    """Describe, step by step, the cost of a run that does not grow with its rows."""
    share = smallest.ours.rows / next_one.ours.rows
    of_steps = {name: seconds - share * next_one.ours.steps[name] for name, seconds in smallest.ours.steps.items()}
    steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in of_steps.items())
    return (
        f"Fixed cost: {sum(of_steps.values()):.2f} s, the time of {smallest.ours.rows:,} rows less what so many rows "
        f"take where there are {next_one.ours.rows:,}.\nOf it: {steps}."
    )


def _verdicts(measured: list[Size]) -> list[Row]:
    largest, grown = measured[-1], [size.ours for size in measured[1:]]
    memory = max(size.ours.process or 0 for size in measured)
    found = [
        verdict(
            f"{PIPELINE} : {LIMIT}, {largest.ours.rows:,} rows",
            f"at most {MOST}",
            f"{largest.ratio:.2f}",
            largest.ratio <= MOST,
        ),
        verdict("memory of the pipeline's process", f"below {MEMORY:,} MiB", f"{memory:,.0f} MiB", memory < MEMORY),
    ]
    if len(grown) > 1:
        micros = [timed.micros for timed in grown]
        spread = max(micros) / min(micros)
        name = f"time of a row, {grown[0].rows:,} to {grown[-1].rows:,} rows: longest : shortest"
        found.insert(0, verdict(name, f"at most {FLAT}", f"{spread:.2f}", spread <= FLAT))
    return found


def _drawn(measured: list[Size], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.style.context(STYLE):
        figure = Figure()
        axes = figure.subplots()
        rows = [size.ours.rows for size in measured]
        for name, timed in ((PIPELINE, [size.ours for size in measured]), (LIMIT, [size.limit for size in measured])):
            axes.plot(rows, [each.micros for each in timed], marker="o", label=name)
        axes.set(
            title="Time of a row by the size of the history", xlabel="rows", ylabel="µs", xscale="log", ylim=(0, None)
        )
        axes.legend()
        figure.savefig(path)
    return path
