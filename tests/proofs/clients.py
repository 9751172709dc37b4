"""Clients of the service, in a process of their own, that tell a lost request from one that nobody took.

`kept` clients reuse a connection as long as the service lets them; `fresh` ones connect for each request. None asks
twice: what one got is what counts.
"""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from tests.proofs.killable import FORKS

CUSTOMER = json.dumps({"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}).encode()
REQUEST = (
    b"POST /voucher HTTP/1.1\r\nHost: voucher\r\nContent-Type: application/json\r\n"
    b"Connection: %s\r\nContent-Length: %d\r\n\r\n" + CUSTOMER
)
SECONDS = 10  # until a client gives up


class NobodyThere(ConnectionError):
    """There was no connection: nothing was sent."""


@dataclass
class Report:
    """What came of the requests since the last one.

    answered: by run, as it has to; refused: nobody listened; wrong: another answer than the run's; lost: sent over a
    connection that had been made, and not answered, as (time, the client's port, what happened); seconds: of the answers.
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
        """In seconds."""
        return sorted(self.seconds)[int(len(self.seconds) * share)]


class Load:
    """`amounts` are the answers by run; `rate` is requests a second, of all clients together."""

    def __init__(
        self, port: int, amounts: Mapping[str, int], rate: int, kept: int = 8, fresh: int = 4, host: str = "127.0.0.1"
    ) -> None:
        self._pipe, theirs = FORKS.Pipe()
        arguments = (theirs, (host, port), dict(amounts), (kept + fresh) / rate, kept, fresh)
        self._process = FORKS.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def report(self) -> Report:
        self._pipe.send("report")
        found: Report = self._pipe.recv()
        return found

    def during(self, seconds: float) -> Report:
        """Of the next so many seconds."""
        self.report()
        time.sleep(seconds)
        return self.report()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._pipe.close()
        self._process.join(SECONDS)
        self._process.kill()


class _Client:
    def __init__(self, address: tuple[str, int], amounts: Mapping[str, int], keep: bool) -> None:
        self._address, self._amounts, self._keep = address, amounts, keep
        self._request = REQUEST % (b"keep-alive" if keep else b"close", len(CUSTOMER))
        self._socket: socket.socket | None = None

    def ask(self) -> tuple[str, int | str]:
        """Run and amount. Raises NobodyThere, or another OSError when the request is lost."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(self._request)
            head, body = self._receive(self._socket)
        except OSError:
            self.close()
            raise
        if not self._keep or b"connection: close" in head:
            self.close()
        try:
            return _header(head, b"voucher-run"), json.loads(body).get("voucher_amount", body.decode())
        except ValueError:  # an answer of a proxy
            return "", body.decode()

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1] if self._socket else 0

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        try:
            made = socket.create_connection(self._address, timeout=SECONDS)
        except OSError as error:
            raise NobodyThere from error
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _receive(self, connection: socket.socket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _some(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower()
        while len(body) < int(_header(head, b"content-length")):
            body += _some(connection)
        return head, body


def _some(connection: socket.socket) -> bytes:
    found = connection.recv(65536)
    if not found:
        raise ConnectionAbortedError("closed without an answer")
    return found


def _header(head: bytes, name: bytes) -> str:
    lines = (line.partition(b": ") for line in head.split(b"\r\n"))
    return next((value.decode() for key, _, value in lines if key == name), "")


def _run(
    pipe: Connection, address: tuple[str, int], amounts: dict[str, int], pace: float, kept: int, fresh: int
) -> None:
    """Until the pipe's other end is closed."""
    shared, lock, ended = [Report()], threading.Lock(), threading.Event()

    def ask_on(client: _Client, offset: float) -> None:
        due = time.monotonic() + offset
        while not ended.wait(max(0, due - time.monotonic())):
            due = max(due, time.monotonic() - 1) + pace  # who is late hurries, for a second's worth
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

    clients = [_Client(address, amounts, keep=place < kept) for place in range(kept + fresh)]
    threads = [
        threading.Thread(target=ask_on, args=(client, place * pace / len(clients)))
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
