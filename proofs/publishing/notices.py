"""Each publication, rollback and refusal is told at least once, and none wrong, whenever the pipeline is killed.

The pipeline is killed at each point from the publication to the record of a sent notice, and the next run follows. Each
notice has to be signed, and to have the answers of both histories; repeats have the same id and body. With a receiver
that is down, slow, broken or busy, runs succeed, and what happened is told afterwards.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tabulate import tabulate

from dev.ports import free_port
from proofs.publishing.expected_notices import SECRET, ExpectedNotices, without_a_country
from proofs.publishing.running_stack import RunningStack
from proofs.support.killable import Ended, Strike
from proofs.support.notice_receiver import CLOSE, DRIP, NoticeReceiver

KILLS, ALL = 6, 200
BROKEN: dict[str, int | str | None] = {"down": None, "slow": DRIP, "closing": CLOSE, "answering 500": 500, "busy": 429}
TIMES = 3  # with each of them
SLOWEST = 30  # seconds that a run may take
# The points of each command that are killed at: from the publication on, and before it those of a notice that is due.
FIRST = {
    "run": "publish: ",
    "rollback": "start: ",
    "refused": "audit: after INSERT INTO voucher.notice",
    "due": "plan: ",
}


@dataclass(frozen=True)
class Fixtures:
    stack: RunningStack
    expected: ExpectedNotices
    points: tuple[tuple[str, str], ...]  # command and point


@dataclass(frozen=True)
class Result:
    """happened: publications, rollbacks and refusals; told: notices received for them; seconds: of the first run."""

    what: str
    point: str
    number: int
    happened: int
    told: int
    seconds: float
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        return self.what, self.point, self.number


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with RunningStack.open(folder) as stack, NoticeReceiver.open() as receiver:
        stack.settings = {"VOUCHER_NOTIFY_URL": receiver.url, "VOUCHER_NOTIFY_SECRET": SECRET}
        expected = ExpectedNotices(stack, receiver)
        stack.publish(stack.new_history())  # also sends the notices of the histories before it
        points = tuple((what, point) for what in FIRST for point in _points(stack, what))
        yield Fixtures(stack, expected, points)


def _points(stack: RunningStack, what: str) -> Iterator[str]:
    """Yield the points of a command, in order, from the first one that is killed at."""
    if what == "due":
        _run(stack, "run", "publish: after COMMIT")
    passed, found = _run(stack, what).points, False
    for point in passed:
        found = found or point.startswith(FIRST[what])
        is_sending = any(word in point for word in ("notice", "request", "answer"))
        if found and (what != "due" or (is_sending and point.startswith("plan: "))):
            yield point


def keys(fixtures: Fixtures) -> list[tuple[str, str, int]]:
    kills = [(what, point, number) for number in range(KILLS) for what, point in fixtures.points]
    return kills + [("receiver", broken, number) for number in range(TIMES) for broken in BROKEN]


def few(fixtures: Fixtures) -> list[tuple[str, str, int]]:
    """Return a kill at every point of sending and at every second other one, and a receiver that is down or closes."""
    sending = [place for place, (_, point) in enumerate(fixtures.points) if "request" in point or "answer" in point]
    places = sorted({*sending, *range(0, len(fixtures.points), 2)})
    kills = [(*fixtures.points[place], place % 2) for place in places]
    return [*kills, ("receiver", "down", 0), ("receiver", "closing", 0)]


def trial(fixtures: Fixtures, what: str, point: str, number: int) -> Result:
    """Kill a command, or let it meet a broken receiver; then run again, with the same history or another one."""
    stack, expected = fixtures.stack, fixtures.expected
    expected.begin()
    began = monotonic()
    faults = list(_broken(fixtures, point) if what == "receiver" else _kill(stack, what, point))
    seconds = monotonic() - began
    again = stack.latest() if number % 2 and what != "refused" else stack.new_history()
    then = stack.pipeline("run", "--source", str(again))
    if then.exitcode != 0:
        faults.append(f"the next run ended with {then.exitcode}: {then.last_words}")
    happened, received, wrong = expected.end()
    return Result(what, point, number, happened, received, round(seconds, 1), (*faults, *wrong))


def _kill(stack: RunningStack, what: str, point: str) -> Iterator[str]:
    if what == "due":
        _run(stack, "run", "publish: after COMMIT")
    ended = _run(stack, what, point)
    if ended.exitcode != -9:
        yield f"the killed command ended with {ended.exitcode}: {ended.last_words}"


def _run(stack: RunningStack, what: str, point: str | None = None) -> Ended:
    strike = Strike(point) if point else None
    if what == "rollback":
        return stack.pipeline("rollback", stack.previous(), "--reason", "proof", strike=strike)
    history = stack.new_history(without_a_country()) if what == "refused" else stack.new_history()
    return stack.pipeline("run", "--source", str(history), strike=strike)


def _broken(fixtures: Fixtures, how: str) -> Iterator[str]:
    """Publish a run while the receiver is broken."""
    stack, receiver, works = fixtures.stack, fixtures.expected.receiver, dict(fixtures.stack.settings)
    if (answer := BROKEN[how]) is None:
        stack.settings["VOUCHER_NOTIFY_URL"] = f"http://127.0.0.1:{free_port()}/"
    else:
        receiver.answers = [answer]
    began = monotonic()
    ended = stack.pipeline("run", "--source", str(stack.new_history()))
    stack.settings, receiver.answers = works, [204]
    if ended.exitcode != 0 or "did not accept the notice of run" not in ended.said:
        yield f"with a receiver that is {how}, the run ended with {ended.exitcode}: {ended.last_words}"
    if (seconds := monotonic() - began) > SLOWEST:
        yield f"with a receiver that is {how}, the run took {seconds:.0f} s"
    if not stack.query("SELECT FROM voucher.notice WHERE sent_at IS NULL"):
        yield f"with a receiver that is {how}, no notice stays due"


def table(results: Sequence[Result]) -> str:
    lines = []
    for what, point in dict.fromkeys((each.what, each.point) for each in results):
        found = [each for each in results if (each.what, each.point) == (what, point)]
        sums = [sum(getattr(each, name) for each in found) for name in ("happened", "told")]
        slowest = max(each.seconds for each in found)
        lines.append(
            (what, point, len(found), *sums, sums[1] - sums[0], slowest, sum(len(each.faults) for each in found))
        )
    total = [sum(line[place] for line in lines) for place in (2, 3, 4, 5)]
    lines.append(("all", "", *total, max(line[6] for line in lines), sum(line[7] for line in lines)))
    headers = ("command", "killed, or receiver", "times", "happened", "told", "repeats", "slowest (s)", "faults")
    return tabulate(lines, headers)


def short(results: Sequence[Result]) -> list[str]:
    """Return whether kills are missing, or no notice was repeated although its record was lost."""
    kills = sum(each.what != "receiver" for each in results)
    faults = [] if kills >= ALL else [f"only {kills} kills"]
    repeated = any(each.told > each.happened for each in results if each.point.endswith("after the answer"))
    return faults if repeated else [*faults, "no notice was repeated"]
