"""Clients of the service in their own process, which distinguish a lost request from a refused connection.

KEPT clients reuse a connection for as long as the service allows; the others connect for each request. No client
repeats a request.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from proofs.support.killable import FORKS
from proofs.support.voucher_client import SECONDS, Client, NobodyThere, Proxied

KEPT, CLIENTS = 8, 12  # clients that reuse a connection, and all


@dataclass
class Report:
    """The results of the requests since the last report.

    answered: the right answers, by run; refused: no connection could be made; wrong: not the answer of the run; lost:
    sent over an established connection and not answered, as (time, the client's port, what happened); seconds: of the
    answers.
    """

    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[tuple[float, int, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answered.total() + len(self.wrong) + len(self.lost)

    def __add__(self, other: "Report") -> "Report":
        return Report(
            self.answered + other.answered,
            self.refused + other.refused,
            self.wrong + other.wrong,
            self.lost + other.lost,
            self.seconds + other.seconds,
        )

    @property
    def faults(self) -> list[str]:
        return [*self.wrong[:5], *(f"lost: {what}" for _, _, what in self.lost[:5])]

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that this share of the requests did not exceed."""
        return sorted(self.seconds)[int(len(self.seconds) * share)]


class Load:
    """Clients in their own process. `amounts`: the right answers, by run. `rate`: requests per second, in total."""

    def __init__(
        self,
        port: int,
        amounts: Mapping[str, int],
        rate: int,
        *,
        host: str = "127.0.0.1",
        proxied: Proxied | None = None,
    ) -> None:
        self._pipe, theirs = FORKS.Pipe()
        arguments = (theirs, (host, port), dict(amounts), CLIENTS / rate, proxied)
        self._process = FORKS.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def report(self) -> Report:
        self._pipe.send("report")
        found: Report = self._pipe.recv()
        return found

    def during(self, seconds: float) -> Report:
        """Wait, and return a report of the requests in this time only."""
        self.report()
        time.sleep(seconds)
        return self.report()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._pipe.close()
        self._process.join(SECONDS)
        self._process.kill()


def _run(
    pipe: Connection, address: tuple[str, int], amounts: dict[str, int], interval: float, proxied: Proxied | None
) -> None:
    """Send requests until the other end of the pipe is closed."""
    shared, lock, ended = [Report()], threading.Lock(), threading.Event()

    def ask_on(client: Client, offset: float) -> None:
        due = time.monotonic() + offset
        while not ended.wait(max(0, due - time.monotonic())):
            due = max(due, time.monotonic() - 1) + interval  # a late client catches up on at most a second
            began, mine = time.monotonic(), client.port
            try:
                run, amount = client.ask()
            except NobodyThere:
                with lock:
                    shared[0].refused += 1
            except OSError as error:
                with lock:
                    kind = "kept" if mine else "fresh"
                    shared[0].lost.append((time.time(), mine, f"{kind} {type(error).__name__}: {error}"))
            else:
                with lock:
                    shared[0].seconds.append(time.monotonic() - began)
                    if amounts.get(run) == amount:
                        shared[0].answered[run] += 1
                    else:
                        shared[0].wrong.append(f"run {run or 'none'} answered {amount}")
        client.close()

    clients = [Client(address, amounts, place < KEPT, proxied) for place in range(CLIENTS)]
    threads = [
        threading.Thread(target=ask_on, args=(client, place * interval / CLIENTS))
        for place, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    while True:
        try:
            pipe.recv()
        except EOFError:
            break
        with lock:
            found, shared[0] = shared[0], Report()
        pipe.send(found)
    ended.set()
