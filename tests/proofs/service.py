"""The service under load while Postgres is killed, a worker is killed, disk and log are full, callers send badly or
stall, and while it is reloaded and stopped.

No request is lost, but for those that a killed worker had been sent.
"""

import contextlib
import http.client
import os
import signal
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from tabulate import tabulate

from app.server.sockets import STALLED
from dev.processes import born, until
from tests.proofs import callers
from tests.proofs.clients import Load, Report
from tests.proofs.killable import Strike
from tests.proofs.reading import connections
from tests.proofs.site import Site, status
from tests.proofs.stalled import Stalled, readers, senders

TRIALS = 10
SECONDS = 2.0  # until `/readyz` has to say what is so
STEADY = 1.25  # how many times the p99 may be what it is without them, as a median


@dataclass(frozen=True)
class Result:
    """took: what is timed, in seconds or, for those who stall, as the ratio of p99s; said: what is counted."""

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
def stage(folder: Path) -> Iterator[Site]:
    with Site.open(folder) as site:
        yield site


def keys(stage: Site, trials: int = TRIALS) -> list[tuple[str, int]]:
    return [(event, number) for number in range(trials) for event in EVENTS]


def trial(stage: Site, event: str, number: int, seconds: float = 3) -> Result:
    """Let it happen under load, after and before so many seconds without an event."""
    with stage.load() as load:
        before = load.during(seconds)
        outcome = EVENTS[event](stage, load, seconds)
    faults = [f"before anything happened: {fault}" for fault in before.faults] + outcome.faults
    if not before.requests or not outcome.report.requests:
        faults.append("nobody asked")
    return Result(
        *(event, number, outcome.report.requests, outcome.report.refused),
        *(len(outcome.report.lost), len(outcome.report.wrong), outcome.took, outcome.said),
        faults=tuple(faults),
    )


@dataclass(frozen=True)
class Outcome:
    report: Report
    faults: list[str]
    took: tuple[tuple[str, float], ...] = ()
    said: str = ""


def postgres(site: Site, load: Load, seconds: float) -> Outcome:
    """Kill -9 of all its processes; it is back some seconds later."""
    load.report()
    workers = [connection for (connection,) in connections(site.service.port, site.server.pid).values()]
    Strike("", site.postmaster).hit()
    away = _until_all(workers, "degraded")
    time.sleep(seconds)
    site.postgres.start()
    back = _until_all(workers, "ok")
    report = load.report()
    return Outcome(report, report.faults + ["refused"] * bool(report.refused), (("degraded", away), ("ok again", back)))


def _until_all(workers: Sequence[http.client.HTTPConnection], wanted: str) -> float:
    began = time.monotonic()
    assert until(lambda: {status(worker) for worker in workers} == {wanted}, 20, every=0.02), f"never {wanted}"
    return time.monotonic() - began


def worker(site: Site, load: Load, seconds: float) -> Outcome:
    """Kill -9 of one: what it had been sent is lost, at most a request of each client, and nothing else."""
    victim, *others = site.workers()
    load.report()
    hers = {each.raddr.port for each in victim.net_connections("tcp") if each.raddr}
    killed = time.time()
    victim.kill()
    until(lambda: len(_listening(site)) > len(others), 60, every=0.01)
    respawned = time.time() - killed
    time.sleep(seconds)
    report = load.report()
    faults = report.wrong[:5] + ["refused"] * bool(report.refused)
    kept = [port for _, port, _ in report.lost if port]
    faults += [f"the connection of port {port} was not the killed worker's" for port in kept if port not in hers]
    faults += [f"a client lost {kept.count(port)} requests" for port in set(kept) if kept.count(port) > 1]
    for at, _, what in report.lost:
        if not killed <= at <= killed + respawned:
            faults.append(f"{at - killed:.1f} s after the kill, when it was made good after {respawned:.1f} s: {what}")
    said = f"{len(kept)} kept and {len(report.lost) - len(kept)} fresh connections broke"
    if len(_listening(site)) != len(others) + 1:
        faults.append("the killed worker was not replaced")
    return Outcome(report, faults, (("as many again", respawned),), said)


def _listening(site: Site) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):  # one that has just ended
        return [
            each
            for each in site.workers()
            if any(found.status == psutil.CONN_LISTEN for found in each.net_connections("tcp"))
        ]
    return []


def reload(site: Site, load: Load, seconds: float) -> Outcome:
    """SIGHUP: each worker is replaced by a new one."""
    load.report()
    old, began = {each.pid: born(each.pid) for each in site.workers()}, time.monotonic()
    os.kill(site.server.pid, signal.SIGHUP)
    gone = until(lambda: not any(born(pid) == then for pid, then in old.items()), 90)
    took = time.monotonic() - began
    time.sleep(seconds)
    report = load.report()
    faults = report.faults + ["refused"] * bool(report.refused)
    if not gone or len(site.workers()) != len(old):
        faults.append("not every worker was replaced")
    return Outcome(report, faults, (("replaced", took),))


def stop(site: Site, load: Load, seconds: float) -> Outcome:
    """SIGTERM: whoever is let in is answered; from some time on, nobody is let in."""
    load.report()
    server, began = psutil.Process(site.server.pid), time.monotonic()
    workers = site.workers()
    server.terminate()
    _, left = psutil.wait_procs([server, *workers], timeout=30)
    took = time.monotonic() - began
    report = load.report()
    site.start()
    faults = report.faults + ([f"{len(left)} processes did not end"] if left else [])
    return Outcome(report, faults, (("ended", took),))


def downloads(site: Site, load: Load, seconds: float) -> Outcome:
    """Stalled ones cost the others nothing."""
    return _beside(site, load, seconds, lambda: readers(site.service.port))


def uploads(site: Site, load: Load, seconds: float) -> Outcome:
    """Nor do stalled ones."""
    return _beside(site, load, seconds, lambda: senders(site.service.port))


def _beside(site: Site, load: Load, seconds: float, stall: Callable[[], Stalled], rounds: int = 5) -> Outcome:
    """The p99 beside those who stall over the p99 without, in turn, so that what else the machine does falls on both."""
    total, ratios, faults, said = Report(), [], [], ""
    for _ in range(rounds):
        alone = load.during(seconds)
        with stall() as stalled:
            until(site.postgres_rests, 30)  # until then, streams fill what buffers there are
            meanwhile = load.report()
            beside = load.during(seconds)
        ratios.append(beside.percentile(0.99) / alone.percentile(0.99))
        total, said = total + alone + meanwhile + beside, stalled.said
        faults += stalled.faults
    return Outcome(total, faults + total.faults, (("p99 ratio", statistics.median(ratios)),), said)


def cutoff(site: Site, load: Load, seconds: float) -> Outcome:
    """Who stalls is cut off in the end, and nobody else."""
    load.report()
    began = time.monotonic()
    with senders(site.service.port) as stalled:
        ended = until(stalled.cut_off, STALLED * 2, every=0.5)
    took = time.monotonic() - began
    report = load.report()
    faults = report.faults + ([] if ended else [f"not every one was cut off after {took:.0f} s"])
    return Outcome(report, faults, (("cut off", took),), stalled.said)


def _of_callers(
    event: Callable[[Site, float], tuple[Report, list[str], str]],
) -> Callable[[Site, Load, float], Outcome]:
    def happen(site: Site, load: Load, seconds: float) -> Outcome:
        report, faults, said = event(site, seconds)
        return Outcome(report, faults + report.faults + ["refused"] * bool(report.refused), said=said)

    return happen


CALLERS = (callers.full, callers.deaf, callers.refused, callers.dripping, callers.half_closed, callers.bulk)
EVENTS = {each.__name__: each for each in (postgres, worker, downloads, uploads, cutoff, reload, stop)} | {
    each.__name__: _of_callers(each) for each in CALLERS
}
FEW = ("postgres", "worker", "downloads", "uploads", "reload", "stop", "dripping", "half_closed")  # the short ones


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
    """`/readyz` is in time, and those who stall cost the others nothing that can be measured."""
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
