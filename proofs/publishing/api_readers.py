"""Readers of the API, each in its own process, that check every answer."""

import http.client
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

import psutil

from proofs.publishing.histories import CUSTOMERS, Customer
from proofs.support.killable import FORKS

HEADERS = {"Content-Type": "application/json"}


@dataclass
class Report:
    """The answers since the last report.

    seen: how often a run was named with an amount of a history; errors: requests without an answer; mixed: answers for
    another customer; switches: for each connection, when its answers named another run for the first time.
    """

    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    switches: list[list[tuple[float, str]]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.seen.total() + len(self.errors) + len(self.mixed)

    def of(self, history: int) -> int:
        """Return the number of answers from this history."""
        return sum(times for (_, number), times in self.seen.items() if number == history)

    def judged(self, histories: dict[str, int]) -> "Report":
        """Return the report with answers whose amount is not of the named run among the mixed."""
        wrong = Counter({key: times for key, times in self.seen.items() if histories.get(key[0]) != key[1]})
        mixed = [f"run {run} was named beside an amount of history {number}" for run, number in wrong.elements()]
        return Report(self.seen - wrong, self.errors, self.mixed + mixed, self.switches)

    def __add__(self, other: "Report") -> "Report":
        return Report(
            self.seen + other.seen,
            self.errors + other.errors,
            self.mixed + other.mixed,
            self.switches + other.switches,
        )


def ask(connection: http.client.HTTPConnection, customer: Customer) -> tuple[str, int]:
    """Return the run that the answer names, and the history of its amount.

    Raise ConnectionError if there is no answer, ValueError if it is for another customer.
    """
    try:
        connection.request("POST", "/voucher", customer.request, HEADERS)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise ConnectionError(f"{type(error).__name__}: {error}") from None
    if response.status != 200:
        raise ConnectionError(f"{response.status} {body[:80]!r}")
    return response.headers["Voucher-Run"], customer.number(body)


def answer(connection: http.client.HTTPConnection, customer: Customer) -> tuple[str, int]:
    """Do the same as `ask`, but on an error return its text and 0."""
    try:
        return ask(connection, customer)
    except (ConnectionError, ValueError) as error:
        return str(error), 0


def connections(port: int, server: int, each: int = 1) -> dict[int, list[http.client.HTTPConnection]]:
    """Open `each` keep-alive connections to every worker process of the server."""
    workers: dict[int, list[http.client.HTTPConnection]]
    workers = {process.pid: [] for process in psutil.Process(server).children(recursive=True)}
    for _ in range(200):
        if all(len(found) == each for found in workers.values()):
            return workers
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        mine = connection.sock.getsockname()[1]
        for pid, found in workers.items():
            if any(other.raddr and other.raddr.port == mine for other in psutil.Process(pid).net_connections("tcp")):
                found.append(connection)
                del found[each:]
    raise AssertionError(f"not every worker took connections: {workers}")


class Readers:
    """Processes that ask for all customers repeatedly, with a pause after each round."""

    def __init__(self, port: int, server: int, processes: int = 1, pause: float = 0) -> None:
        self._pipes, self._processes = [], []
        for _ in range(processes):
            mine, theirs = FORKS.Pipe()
            process = FORKS.Process(target=_read, args=(theirs, port, server, pause), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)

    def report(self) -> Report:
        """Return the report after each process has asked for all customers once more."""
        for pipe in self._pipes:
            pipe.send("report")
        return sum((pipe.recv() for pipe in self._pipes), Report())

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, *exception: Any) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()
            process.join(10)
            process.kill()


def _read(pipe: Connection, port: int, server: int, pause: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted proof closes the pipe
    mine = [connection for found in connections(port, server, each=2).values() for connection in found]
    last, report = [""] * len(mine), Report(switches=[[] for _ in mine])
    turns = cycle(range(len(mine)))
    asked = False
    while True:
        for customer in (*CUSTOMERS, *CUSTOMERS[: len(mine)]):
            turn = next(turns)
            try:
                answer = ask(mine[turn], customer)
            except ConnectionError as error:
                report.errors.append(str(error))
            except ValueError as error:
                report.mixed.append(str(error))
            else:
                report.seen[answer] += 1
                if answer[0] != last[turn]:
                    report.switches[turn].append((time.time(), answer[0]))
                    last[turn] = answer[0]
        if asked:
            pipe.send(report)
            report = Report(switches=[[] for _ in mine])
        try:
            asked = pipe.poll(pause) and bool(pipe.recv())
        except EOFError:
            return
