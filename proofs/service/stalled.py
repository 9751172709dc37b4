"""Clients that stall: readers of a download, senders of a customer. Used by the proof `service`."""

import select
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

from proofs.support.voucher_client import CUSTOMER, REQUEST

READERS, SENDERS = 20, 100


@dataclass
class Stalled:
    """Clients that have stalled."""

    sockets: list[socket.socket]
    said: str
    faults: list[str]

    def __enter__(self) -> "Stalled":
        return self

    def __exit__(self, *exception: Any) -> None:
        for each in self.sockets:
            each.close()

    def cut_off(self) -> bool:
        """Return whether the service has closed all connections."""
        return len(select.select(self.sockets, [], [], 0)[0]) == len(self.sockets)


def readers(port: int) -> Stalled:
    """Stall downloads of the cleaned rows: some are served, the others get 503."""
    stalled, answers = Stalled([], "", []), Counter[str]()
    for _ in range(READERS):
        reader = socket.socket()
        stalled.sockets.append(reader)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(30)
        reader.connect(("127.0.0.1", port))
        reader.sendall(b"GET /assignments.csv?country=Peru HTTP/1.1\r\nHost: voucher\r\n\r\n")
        head = reader.recv(2048).lower()
        answers[head[9:12].decode()] += 1
        if head[9:12] == b"503" and b"\r\nretry-after: " not in head:
            stalled.faults.append("a 503 does not say when to come again")
    if set(answers) != {"200", "503"}:
        stalled.faults.append(f"stalled readers were answered {dict(answers)}")
    stalled.said = f"{answers['200']} streams, {answers['503']} told to wait"
    return stalled


def senders(port: int) -> Stalled:
    """Stall requests in the middle of the body."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(SENDERS)]
    for sender in sockets:
        sender.sendall(REQUEST % (b"close", len(CUSTOMER) + 1))
    return Stalled(sockets, f"{SENDERS} senders", [])
