"""The events of the proof `service`: each happens under load, and what became of the requests is checked."""

import contextlib
import http.client
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from app.server.sockets import STALLED
from dev.processes import start_time, until
from proofs.publishing.api_readers import connections
from proofs.service import callers
from proofs.service.running_service import RunningService, status
from proofs.service.stalled import Stalled, readers, senders
from proofs.support.killable import Strike
from proofs.support.request_load import Load, Report


@dataclass(frozen=True)
class Outcome:
    report: Report
    faults: list[str]
    took: tuple[tuple[str, float], ...] = ()
    said: str = ""


def postgres(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Kill -9 all processes of Postgres, and start it again some seconds later."""
    load.report()
    workers = [connection for (connection,) in connections(running.service.port, running.server.pid).values()]
    Strike("", running.postmaster).hit()
    away = _until_all(workers, "degraded")
    time.sleep(seconds)
    running.postgres.start()
    back = _until_all(workers, "ok")
    report = load.report()
    return Outcome(report, report.faults + ["refused"] * bool(report.refused), (("degraded", away), ("ok again", back)))


def _until_all(workers: Sequence[http.client.HTTPConnection], wanted: str) -> float:
    began = time.monotonic()
    assert until(lambda: {status(worker) for worker in workers} == {wanted}, 20, every=0.02), f"never {wanted}"
    return time.monotonic() - began


def worker(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Kill -9 one worker: at most one request of each of its clients is lost, and nothing else."""
    victim, *others = running.workers()
    load.report()
    hers = {each.raddr.port for each in victim.net_connections("tcp") if each.raddr}
    killed = time.time()
    victim.kill()
    until(lambda: len([each for each in _listening(running) if each != victim]) > len(others), 60, every=0.01)
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
    if len(_listening(running)) != len(others) + 1:
        faults.append("the killed worker was not replaced")
    return Outcome(report, faults, (("as many again", respawned),), said)


def _listening(running: RunningService) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):  # a worker that has just ended
        return [
            each
            for each in running.workers()
            if any(found.status == psutil.CONN_LISTEN for found in each.net_connections("tcp"))
        ]
    return []


def reload(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Send SIGHUP: each worker is replaced by a new one."""
    load.report()
    old, began = {each.pid: start_time(each.pid) for each in running.workers()}, time.monotonic()
    os.kill(running.server.pid, signal.SIGHUP)
    gone = until(lambda: not any(start_time(pid) == then for pid, then in old.items()), 90)
    took = time.monotonic() - began
    time.sleep(seconds)
    report = load.report()
    faults = report.faults + ["refused"] * bool(report.refused)
    if not gone or len(running.workers()) != len(old):
        faults.append("not every worker was replaced")
    return Outcome(report, faults, (("replaced", took),))


def stop(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Send SIGTERM: every accepted request is answered; after some time, none is accepted."""
    load.report()
    server, began = psutil.Process(running.server.pid), time.monotonic()
    workers = running.workers()
    server.terminate()
    _, left = psutil.wait_procs([server, *workers], timeout=30)
    took = time.monotonic() - began
    report = load.report()
    running.start()
    faults = report.faults + ([f"{len(left)} processes did not end"] if left else [])
    return Outcome(report, faults, (("ended", took),))


def downloads(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Stall downloads: other clients don't notice."""
    return _beside(running, load, seconds, lambda: readers(running.service.port))


def uploads(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Stall uploads: other clients don't notice."""
    return _beside(running, load, seconds, lambda: senders(running.service.port))


def _beside(
    running: RunningService, load: Load, seconds: float, stall: Callable[[], Stalled], rounds: int = 5
) -> Outcome:
    """The p99 beside stalled clients over the p99 without, measured in turn, so that other load affects both."""
    total, ratios, faults, said = Report(), [], [], ""
    for _ in range(rounds):
        alone = load.during(seconds)
        with stall() as stalled:
            until(running.postgres_rests, 30)  # until then, streams fill the buffers
            meanwhile = load.report()
            beside = load.during(seconds)
        ratios.append(beside.percentile(0.99) / alone.percentile(0.99))
        total, said = total + alone + meanwhile + beside, stalled.said
        faults += stalled.faults
    return Outcome(total, faults + total.faults, (("p99 ratio", statistics.median(ratios)),), said)


def cutoff(running: RunningService, load: Load, seconds: float) -> Outcome:
    """Stall uploads until they are disconnected; no other client is."""
    load.report()
    began = time.monotonic()
    with senders(running.service.port) as stalled:
        ended = until(stalled.cut_off, STALLED * 2, every=0.5)
    took = time.monotonic() - began
    report = load.report()
    faults = report.faults + ([] if ended else [f"not every one was cut off after {took:.0f} s"])
    return Outcome(report, faults, (("cut off", took),), stalled.said)


def _of_callers(
    event: Callable[[RunningService, float], tuple[Report, list[str], str]],
) -> Callable[[RunningService, Load, float], Outcome]:
    def happen(running: RunningService, load: Load, seconds: float) -> Outcome:
        report, faults, said = event(running, seconds)
        return Outcome(report, faults + report.faults + ["refused"] * bool(report.refused), said=said)

    return happen


CALLERS = (callers.full, callers.deaf, callers.refused, callers.dripping, callers.half_closed, callers.bulk)
EVENTS = {each.__name__: each for each in (postgres, worker, downloads, uploads, cutoff, reload, stop)} | {
    each.__name__: _of_callers(each) for each in CALLERS
}
FEW = ("postgres", "worker", "downloads", "uploads", "reload", "stop", "dripping", "half_closed")  # the short ones
