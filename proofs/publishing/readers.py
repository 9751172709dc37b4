"""Readers during publishes that alternate between two histories whose answers all differ: no error, no mixed answer.

Every answer is compared with that of the named run for this customer. Every connection has to see each publish as one
switch from one run to the other.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from proofs.publishing.api_readers import Report
from proofs.publishing.watched import Watched

TRIALS, PUBLISHES, REQUESTS = 10, 20, 10_000  # publishes and requests of a trial, at least


@dataclass(frozen=True)
class Result:
    number: int
    publishes: int
    requests: int
    a: int
    b: int
    errors: int
    mixed: int
    seconds: float
    served: tuple[float, ...]  # seconds from each commit until the last connection was answered by its run
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[int]:
        return (self.number,)


fixtures = Watched.open


def keys(fixtures: Watched) -> list[tuple[int]]:
    return [(number,) for number in range(TRIALS)]


def trial(fixtures: Watched, number: int, publishes: int = PUBLISHES, requests: int = REQUESTS) -> Result:
    """Publish the two histories in turn, so many times, and read until so many requests are answered."""
    stack, began, report, moves = fixtures.stack, time.monotonic(), Report(), []
    for _ in range(publishes):
        other = stack.history(3 - stack.histories()[stack.current()])
        moves.append(fixtures.move(stack.publish, other))
        report += moves[-1].report
    while report.requests < requests:
        report += fixtures.report()
    return Result(
        *(number, publishes, report.requests, report.of(1), report.of(2), len(report.errors), len(report.mixed)),
        seconds=time.monotonic() - began,
        served=tuple(move.from_commit for move in moves),
        faults=tuple([fault for move in moves for fault in move.faults] + (report.errors + report.mixed)[:5]),
    )


def table(results: Sequence[Result]) -> str:
    def sums(name: str) -> Any:
        return sum(getattr(each, name) for each in results)

    served = sorted(seconds for each in results for seconds in each.served)
    lines = [
        ("publishes", sums("publishes")),
        ("requests", sums("requests")),
        ("errors", sums("errors")),
        ("mixed answers", sums("mixed")),
        ("answers of A", sums("a")),
        ("answers of B", sums("b")),
        ("requests a second", round(sums("requests") / sums("seconds"))),
        ("seconds from a commit until every worker serves it, median", f"{served[len(served) // 2]:.2f}"),
        ("the same, longest", f"{served[-1]:.2f}"),
    ]
    return tabulate(lines, disable_numparse=True, colalign=("left", "right"))


def short(results: Sequence[Result]) -> list[str]:
    """Return whether publishes, requests or answers of one history are missing."""
    publishes, requests = sum(each.publishes for each in results), sum(each.requests for each in results)
    lacks = []
    if publishes < TRIALS * PUBLISHES or requests < TRIALS * REQUESTS:
        lacks.append(f"only {publishes} publishes and {requests} requests")
    if not sum(each.a for each in results) or not sum(each.b for each in results):
        lacks.append("one of the two was never served")
    return lacks
