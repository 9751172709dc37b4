"""The service under load: Postgres or a worker killed, disk and log full, clients that misbehave, reload and stop.

No request is lost, except those that a killed worker was answering.
"""

import contextlib
import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from proofs.service.events import EVENTS
from proofs.service.running_service import RunningService

TRIALS = 10
SECONDS = 2.0  # until `/readyz` has to report a change
STEADY = 1.25  # the limit of the median ratio of the p99s with and without stalled clients


@dataclass(frozen=True)
class Result:
    """took: what is timed, in seconds, or the ratio of p99s for stalled clients; said: what is counted."""

    event: str
    number: int
    requests: int
    refused: int
    lost: int
    wrong: int
    took: tuple[tuple[str, float], ...]
    said: str
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.event, self.number


@contextlib.contextmanager
def fixtures(folder: Path) -> Iterator[RunningService]:
    with RunningService.open(folder) as running:
        yield running


def keys(fixtures: RunningService, trials: int = TRIALS) -> list[tuple[str, int]]:
    return [(event, number) for number in range(trials) for event in EVENTS]


def trial(fixtures: RunningService, event: str, number: int, seconds: float = 3) -> Result:
    """Let the event happen under load, with so many seconds without an event before and after it."""
    with fixtures.load() as load:
        before = load.during(seconds)
        outcome = EVENTS[event](fixtures, load, seconds)
    faults = [f"before anything happened: {fault}" for fault in before.faults] + outcome.faults
    if not before.requests or not outcome.report.requests:
        faults.append("nobody asked")
    return Result(
        *(event, number, outcome.report.requests, outcome.report.refused),
        *(len(outcome.report.lost), len(outcome.report.wrong), outcome.took, outcome.said),
        faults=tuple(faults),
    )


def table(results: Sequence[Result]) -> str:
    lines = []
    for event in dict.fromkeys(each.event for each in results):
        found = [each for each in results if each.event == event]
        sums = (sum(getattr(each, name) for each in found) for name in ("requests", "refused", "lost", "wrong"))
        times = {name: [dict(each.took)[name] for each in found] for name, _ in found[0].took}
        took = ", ".join(f"{name} {statistics.median(each):.2f} ({max(each):.2f})" for name, each in times.items())
        lines.append((event, len(found), *sums, took, found[-1].said))
    headers = ("event", "trials", "requests", "refused", "lost", "wrong", "median (longest), s or ratio", "the last")
    return tabulate(lines, headers)


def short(results: Sequence[Result], events: Collection[str] = EVENTS) -> list[str]:
    """Return where `/readyz` was late, stalled clients slowed others down, or a trial is missing."""
    lacks = [
        f"postgres {each.number}: {what} after {seconds:.1f} s"
        for each in results
        for what, seconds in each.took
        if each.event == "postgres" and seconds > SECONDS
    ]
    for event in ("downloads", "uploads"):
        ratios = [each.took[0][1] for each in results if each.event == event]
        if ratios and statistics.median(ratios) > STEADY:
            lacks.append(f"{event}: the p99 is {statistics.median(ratios):.2f} times what it is without")
    return lacks + [f"no trial of {event}" for event in events if event not in {each.event for each in results}]
