"""The service with a full log or disk, and with clients that misbehave. Used by the proof `service`."""

import contextlib
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import requests

from proofs.service.running_service import RUNS, RunningService
from proofs.support.proxies import CADDY, NGINX
from proofs.support.request_load import Load, Report
from proofs.support.served import failing
from proofs.support.voucher_client import CUSTOMER, REQUEST

SENDERS = 300  # that drip or half-close: more than the 256 threads of a worker, if each held one
REFUSED = 48  # bodies of 1,000 KiB with a wrong header
CALLS = 220  # of /vouchers at once
BULK = b"[" + b",".join([CUSTOMER + b" " * (416 - len(CUSTOMER))] * 10_000) + b"]"  # 4.17 MB
CONTAINER = 1024  # MiB, the limit in docker-compose.yml


def _load(url: str, rate: int = 200) -> Load:
    return Load(int(url.rpartition(":")[2]), RUNS, rate)


def full(running: RunningService, seconds: float) -> tuple[Report, list[str], str]:
    """Serve with no space for the log or the metrics."""
    with running.on_a_full_disk() as url:
        return _beside(url, seconds, ["log", "metrics"])


def deaf(running: RunningService, seconds: float) -> tuple[Report, list[str], str]:
    """Serve while no process reads the pipe of the log."""
    with running.with_a_deaf_log() as url:
        return _beside(url, seconds, ["log"])


def _beside(url: str, seconds: float, wanted: list[str]) -> tuple[Report, list[str], str]:
    with _load(url, 500) as load:
        report = load.during(max(seconds, 2))
    found = failing(url)
    return report, [] if found == wanted else [f"failing are {found}"], f"{', '.join(found)} failing"


def refused(running: RunningService, seconds: float) -> tuple[Report, list[str], str]:
    """Send bodies that are refused unread, through two proxies, each with two servers behind it."""
    total, faults, answers = Report(), [], Counter[int]()
    with contextlib.ExitStack() as servers:
        urls = [servers.enter_context(running.another()) for _ in range(2)]
        ports = [int(url.rpartition(":")[2]) for url in urls]
        for proxy in NGINX, CADDY:
            with tempfile.TemporaryDirectory() as folder, proxy.before(Path(folder), ports) as url, _load(url) as load:
                for _ in range(REFUSED):
                    body, headers = b"x" * 1000 * 1024, {"Content-Type": "text/plain"}
                    answers[requests.post(f"{url}/voucher", body, headers=headers, timeout=30).status_code] += 1
                total += load.during(seconds)
    if set(answers) != {415}:
        faults.append(f"refusals arrived as {dict(answers)}")
    return total, faults, f"{answers[415]} of {answers.total()} refusals arrived"


def dripping(running: RunningService, seconds: float) -> tuple[Report, list[str], str]:
    """Send bodies a byte at a time."""

    def drip(senders: list[socket.socket]) -> None:
        for sender in senders:
            with contextlib.suppress(OSError):
                sender.send(b" ")

    return _senders(running, seconds, drip)


def half_closed(running: RunningService, seconds: float) -> tuple[Report, list[str], str]:
    """Close the sending half of connections in the middle of a body."""

    def close(senders: list[socket.socket]) -> None:
        for sender in senders:
            with contextlib.suppress(OSError):
                sender.shutdown(socket.SHUT_WR)

    return _senders(running, seconds, close)


def _senders(
    running: RunningService, seconds: float, act: Callable[[list[socket.socket]], None]
) -> tuple[Report, list[str], str]:
    port, faults, probes = running.service.port, [], 0
    with contextlib.ExitStack() as all_of_them, running.load() as load:
        senders = [all_of_them.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(SENDERS)]
        for sender in senders:
            sender.sendall(REQUEST % (b"close", len(CUSTOMER) + 60_000))
        load.report()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            act(senders)
            if requests.get(f"{running.service.url}/livez", timeout=5).status_code != 200:
                faults.append("a probe was not answered")
            probes += 1
            time.sleep(0.2)
        report = load.report()
    return report, faults, f"{SENDERS} senders, {probes} probes answered"


def bulk(running: RunningService, seconds: float) -> tuple[Report, list[str], str]:
    """Send bulk calls at the same time that together would need 2.3 GB."""
    peak, ended, answers = [0], threading.Event(), Counter[int]()

    def watch() -> None:
        while not ended.wait(0.1):
            with contextlib.suppress(psutil.Error):
                peak[0] = max(peak[0], sum(worker.memory_info().rss for worker in running.workers()))

    def call(_: int) -> int:
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{running.service.url}/vouchers", BULK, headers=headers, timeout=120)
        return answer.status_code if answer.status_code != 503 or "Retry-After" in answer.headers else -503

    watcher = threading.Thread(target=watch)
    watcher.start()
    with running.load(50) as load:
        with ThreadPoolExecutor(CALLS) as pool:
            answers.update(pool.map(call, range(CALLS)))
        report = load.report()
    ended.set()
    watcher.join()
    memory = peak[0] / 2**20
    faults = [f"bulk calls were answered {dict(answers)}"] if set(answers) - {200, 503} or not answers[200] else []
    if memory > CONTAINER:
        faults.append(f"the workers took {memory:.0f} MiB")
    return report, faults, f"{answers[200]} answered, {answers[503]} told to wait; at most {memory:.0f} MiB"
