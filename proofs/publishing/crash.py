"""Crash safety: at each step from first write to after commit, kill -9 of the pipeline, and kill -9 of Postgres.

After each kill, all answers of the API are from the old run or all from the new one, the next run succeeds without
help, and leaves no orphaned partition.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from proofs.publishing.api_readers import Readers
from proofs.publishing.histories import number_of
from proofs.publishing.running_stack import RunningStack
from proofs.support.killable import STEPS, Ended, Strike

KILLS = 10
VICTIMS = ("pipeline", "postgres")


@dataclass(frozen=True)
class Fixtures:
    stack: RunningStack
    readers: Readers
    points: tuple[str, ...]  # in the order that a run passes them

    @property
    def turn(self) -> int:
        """The first point at which readers have to see the new run: after the commit of publish."""
        return self.points.index("publish: after COMMIT")


@dataclass(frozen=True)
class Result:
    point: str
    victim: str
    number: int
    served: str  # after the kill: old, new, or other answers
    following: str  # the history of the next run: same or other
    next_ok: bool
    orphans: int
    wrong: int
    requests: int
    said: str  # the last line of a run whose Postgres was killed
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        return self.point, self.victim, self.number


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with RunningStack.open(folder) as stack, stack.readers(pause=0.05) as readers:
        points = stack.publish(stack.new_history()).points
        stack.settle()
        readers.report()
        yield Fixtures(stack, readers, points)


def keys(fixtures: Fixtures) -> list[tuple[str, str, int]]:
    return [(point, victim, number) for number in range(KILLS) for point in fixtures.points for victim in VICTIMS]


def few(fixtures: Fixtures) -> list[tuple[str, str, int]]:
    """Return one kill at each point, of pipeline and Postgres in turn. The next run has the same history or another."""
    return [(point, VICTIMS[place % 2], place // 2) for place, point in enumerate(fixtures.points)]


def trial(fixtures: Fixtures, point: str, victim: str, number: int) -> Result:
    """Kill a run, check the answers, and run again, with the same history or another one."""
    stack, place = fixtures.stack, fixtures.points.index(point)
    old, source = stack.current(), stack.new_history()
    ended = stack.pipeline(
        *("run", "--source", str(source)), strike=Strike(point, stack.postmaster if victim == "postgres" else None)
    )
    faults = list(_end(fixtures, ended, victim, place))
    stack.bring_back_postgres()
    answers, histories = stack.settle(), stack.histories()
    before, new = (old, histories[old]), (stack.current(), number_of(source.name))
    served = "old" if answers == {before} else "new" if answers == {new} else f"{sorted(answers)}"
    if served != ("old" if place < fixtures.turn else "new"):
        faults.append(f"the answers after the kill are {served}")

    again = (place + number + VICTIMS.index(victim)) % 2 == 0
    following = source if again else stack.new_history()
    then = stack.pipeline("run", "--source", str(following))
    if then.exitcode != 0:
        faults.append(f"the next run ended with {then.exitcode}: {then.last_words}")
    answers, histories = stack.settle(), stack.histories()
    if answers != {(stack.current(), number_of(following.name))}:
        faults.append(f"the answers after the next run are {sorted(answers)}")
    orphans = stack.orphans()
    faults.extend(f"the partition of run {run} is left" for run in orphans)
    faults.extend(stack.losses())

    report = fixtures.readers.report().judged(histories)
    seen = {history for _, history in report.seen} - {before[1], number_of(source.name), number_of(following.name)}
    faults.extend(f"a reader saw history {history}" for history in seen)
    faults.extend([*report.errors, *report.mixed][:5])
    if not report.requests:
        faults.append("no reader asked")
    return Result(
        *(point, victim, number, served),
        following="same" if again else "other",
        next_ok=then.exitcode == 0,
        orphans=len(orphans),
        wrong=len(report.errors) + len(report.mixed) + len(seen),
        requests=report.requests,
        said=ended.last_words if victim == "postgres" else "",
        faults=tuple(faults),
    )


def _end(fixtures: Fixtures, ended: Ended, victim: str, place: int) -> Iterator[str]:
    """Yield what is wrong with the end of the run. If Postgres is killed during it, the run has to report that."""
    if fixtures.points[place] not in ended.points:
        yield f"the run never came to this point: {ended.last_words}"
    elif victim == "pipeline":
        if ended.exitcode != -9:
            yield f"the killed run ended with {ended.exitcode}"
    elif (ended.exitcode, place) != (0, len(fixtures.points) - 1) and (
        ended.exitcode != 1 or not ended.last_words.startswith("error: Postgres") or "Traceback" in ended.said
    ):
        yield f"without Postgres the run ended with {ended.exitcode} and {ended.said[-300:]!r}"


def table(results: Sequence[Result]) -> str:
    def count(found: Iterable[Result], victim: str, served: str) -> int:
        return sum((each.victim, each.served) == (victim, served) for each in found)

    lines = []
    for point in dict.fromkeys(each.point for each in results):
        found = [each for each in results if each.point == point]
        lines.append(
            (
                point,
                *(count(found, victim, served) for victim in VICTIMS for served in ("old", "new")),
                f"{sum(each.next_ok for each in found)} of {len(found)}",
                *(sum(getattr(each, name) for each in found) for name in ("orphans", "wrong", "requests")),
            )
        )
    sums = [sum(line[place] for line in lines) for place in (1, 2, 3, 4, 6, 7, 8)]
    ok = sum(each.next_ok for each in results)
    lines.append((f"{len(lines)} points", *sums[:4], f"{ok} of {len(results)}", *sums[4:]))
    headers = (
        *("killed", "pipeline: old", "new", "Postgres: old", "new"),
        *("next run ok", "orphans", "wrong answers", "requests"),
    )
    words = sorted({each.said for each in results if each.said.startswith("error")})
    return "\n".join(
        [tabulate(lines, headers), "", "Without Postgres the run ends with", *(f"  {each}" for each in words)]
    )


def short(results: Sequence[Result]) -> list[str]:
    """Return steps without a point, and points at which one of the two was not killed often enough."""
    kills = Counter((each.point, each.victim) for each in results)
    missing = [step for step in STEPS if not any(point.startswith(f"{step}:") for point, _ in kills)]
    return [
        *(f"no point in {step}" for step in missing),
        *(f"{point}: {victim} killed {times} times" for (point, victim), times in kills.items() if times < KILLS),
    ]
