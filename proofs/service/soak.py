"""The service under steady load while the published run changes: no error, and memory that does not grow.

A sample is ten seconds at 500 requests a second, after the pointer has moved to the other of two runs.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from matplotlib.figure import Figure
from tabulate import tabulate

from proofs.service.running_service import RUNS, RunningService
from proofs.support.environment import ROOT
from proofs.support.request_load import Load

MINUTES, SAMPLE, RATE = 30, 10, 500
FIGURE = ROOT / ".local" / "proofs" / "soak.png"
GROWTH = 1.03  # the limit of the median of the last third over that of the second


@dataclass(frozen=True)
class Fixtures:
    running: RunningService
    load: Load


@dataclass(frozen=True)
class Result:
    """memory: resident bytes by process; the name includes the start of the service."""

    number: int
    run: str
    requests: int
    late: int  # answers from the previous run later than a second after the publish
    p50: float
    p99: float
    memory: tuple[tuple[str, int], ...]
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[int, ...]:
        return (self.number,)


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with RunningService.open(folder) as running, running.load(RATE) as load:
        load.during(5)
        yield Fixtures(running, load)


def keys(fixtures: Fixtures, minutes: float = MINUTES) -> list[tuple[int, ...]]:
    return [(number,) for number in range(round(minutes * 60 / SAMPLE))]


def trial(fixtures: Fixtures, number: int, seconds: float = SAMPLE) -> Result:
    """Move the pointer, continue the load, and check answers and memory."""
    run, began = list(RUNS)[number % 2 - 1], time.monotonic()
    fixtures.load.report()
    fixtures.running.tables.point_to(run)
    first = fixtures.load.during(1)
    report = first + fixtures.load.during(max(0, seconds - (time.monotonic() - began)))
    late = (report.answered - first.answered).total() - (report.answered - first.answered)[run]
    faults = [*report.faults, *["refused"] * bool(report.refused)]
    return Result(
        *(number, run, report.requests, late, report.percentile(0.5), report.percentile(0.99)),
        memory=tuple(_memory(fixtures.running)),
        faults=tuple(faults),
    )


def _memory(running: RunningService) -> Iterator[tuple[str, int]]:
    server = psutil.Process(running.server.pid)
    for name, process in [("first process", server), *((f"worker {each.pid}", each) for each in running.workers())]:
        yield f"{name}, started {server.create_time():.0f}", process.memory_info().rss


def table(results: Sequence[Result]) -> str:
    figure(results, FIGURE)
    lines = [
        ("minutes", f"{len(results) * SAMPLE / 60:.1f}"),
        ("publishes", len(results)),
        ("requests", sum(each.requests for each in results)),
        ("errors", sum(len(each.faults) for each in results)),
        ("p50, ms, median of samples", f"{statistics.median(each.p50 for each in results) * 1000:.2f}"),
        ("p99, ms, median of samples", f"{statistics.median(each.p99 for each in results) * 1000:.2f}"),
        *((f"MiB of {name}, first to last", _range(series)) for name, series in _series(results).items()),
        ("figure", FIGURE.relative_to(ROOT)),
    ]
    return tabulate(lines, disable_numparse=True, colalign=("left", "right"))


def short(results: Sequence[Result]) -> list[str]:
    """Return whether answers were late, the rate was missed, a process grew, or the service was restarted."""
    lacks = [f"sample {each.number}: {each.late} answers came late" for each in results if each.late]
    slow = [each.number for each in results if each.requests < 0.95 * RATE * SAMPLE]
    if slow:
        lacks.append(f"fewer than {RATE} requests a second in samples {slow}")
    for name, series in _series(results).items():
        third = len(series) // 3
        if third and _middle(series[-third:]) > GROWTH * _middle(series[third : 2 * third]):
            lacks.append(f"{name} grows: {_range(series)} MiB")
    starts = {name.rpartition(" ")[2] for each in results for name, _ in each.memory}
    return lacks + ([f"broken into {len(starts)} parts; `--fresh` runs it in one"] if len(starts) > 1 else [])


def figure(results: Sequence[Result], path: Path) -> None:
    """Draw the resident memory of each process over time."""
    drawn = Figure(figsize=(9, 4), layout="constrained")
    axes = drawn.subplots()
    for name, series in _series(results).items():
        axes.plot([sample[0] * SAMPLE / 60 for sample in series], [sample[1] / 2**20 for sample in series], label=name)
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", ylim=0)
    axes.set_title(f"{RATE} requests a second, a publish every {SAMPLE} s")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path)


def _series(results: Sequence[Result]) -> dict[str, list[tuple[int, int]]]:
    found = defaultdict(list)
    for each in sorted(results, key=lambda result: result.number):
        for name, size in each.memory:
            found[name].append((each.number, size))
    return found


def _middle(series: Sequence[tuple[int, int]]) -> float:
    return statistics.median(size for _, size in series)


def _range(series: Sequence[tuple[int, int]]) -> str:
    return f"{series[0][1] / 2**20:.1f} to {series[-1][1] / 2**20:.1f}"
