"""Rollback under load, and forward again: no request fails, and all workers serve the run a second after the commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from proofs.publishing.watched import Move, Watched

TRIALS, SECONDS = 10, 1.0
LAST = """SELECT publication.run_id, run.status, previous_run_id, previous.status, action, reason
    FROM voucher.publication JOIN voucher.run USING (run_id) JOIN voucher.run AS previous
        ON previous.run_id = previous_run_id ORDER BY at DESC LIMIT 1"""


@dataclass(frozen=True)
class Result:
    """Seconds until the last connection was answered from the run, since the commit and since the command's start."""

    number: int
    back: tuple[float, float]
    forward: tuple[float, float]
    requests: int
    failed: int
    mixed: int
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[int]:
        return (self.number,)


fixtures = Watched.open


def keys(fixtures: Watched) -> list[tuple[int]]:
    return [(number,) for number in range(TRIALS)]


def trial(fixtures: Watched, number: int) -> Result:
    """Roll back to the previous run, and forward again."""
    new = fixtures.stack.current()
    (old,) = (run for run in fixtures.stack.histories() if run != new)
    reason = f"proof {number}"
    moves: list[Move] = []
    faults: list[str] = []
    for run, left, status in ((old, new, "withdrawn"), (new, old, "published")):
        moves.append(fixtures.move(fixtures.stack.command, "rollback", run, "--reason", reason))
        faults.extend(moves[-1].faults)
        if (found := fixtures.stack.query(LAST)) != [(run, "published", left, status, "rollback", reason)]:
            faults.append(f"on record stands {found}")
    back, forward = moves
    report = back.report + forward.report
    return Result(
        *(number, (back.from_commit, back.from_start), (forward.from_commit, forward.from_start)),
        *(report.requests, len(report.errors), len(report.mixed)),
        faults=tuple(faults + (report.errors + report.mixed)[:5]),
    )


def table(results: Sequence[Result]) -> str:
    lines: list[tuple[Any, ...]] = [
        (each.number, *each.back, *each.forward, each.requests, each.failed, each.mixed) for each in results
    ]
    longest = [max(line[place] for line in lines) for place in (1, 2, 3, 4)]
    lines.append(("all", *longest, *(sum(line[place] for line in lines) for place in (5, 6, 7))))
    headers = ("trial", "back: s after commit", "after start", "forward: s after commit", "after start")
    return tabulate(lines, (*headers, "requests", "failed", "mixed"), floatfmt=".2f")


def short(results: Sequence[Result]) -> list[str]:
    """Return the moves that took longer than a second."""
    return [
        f"trial {each.number}: {seconds:.2f} s until every worker served it"
        for each in results
        for seconds in (each.back[0], each.forward[0])
        if seconds >= SECONDS
    ]
