"""The servers under load: ours, and those of `reference`. Started and stopped by `service`."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import requests

from app.server.workers import command
from benchmarks.service.published import Customer
from benchmarks.service.throughput import Caller
from dev.ports import free_port
from dev.processes import Processes, StackError
from dev.services.api import Service

OURS, DRAWN, BARE = "/voucher", "/voucher with a lottery", "(a) bare Flask"
PSYCOPG2, SQLALCHEMY = "(b) Flask, psycopg2", "(c) FastAPI, SQLAlchemy"


@dataclass(frozen=True)
class Memory:
    """Of the largest worker, in MiB. `rss` counts shared memory in full for each worker, `pss` only its share."""

    workers: int
    rss: float
    pss: float


@dataclass(frozen=True)
class Server:
    """`constant` is the only answer of a server that does not query the database."""

    name: str
    url: str
    pid: int
    constant: float | None = None

    def check(self, customers: list[Customer], amounts: list[float]) -> None:
        """Raise StackError unless it answers each customer with the amount."""
        caller = Caller(f"{self.url}/voucher")
        for customer, amount in zip(customers, amounts, strict=True):
            _, content = caller.post(json.dumps(customer).encode())
            if json.loads(content) != {"voucher_amount": self.constant or amount}:
                raise StackError(f"{self.name} answered {content!r}, not {self.constant or amount}, for {customer}")
        caller.close()

    def memory(self) -> Memory:
        leader = psutil.Process(self.pid)
        workers = [child for child in leader.children() if "resource_tracker" not in " ".join(child.cmdline())]
        used = [worker.memory_full_info() for worker in workers or [leader]]
        return Memory(len(used), max(each.rss for each in used) / 2**20, max(each.pss for each in used) / 2**20)


@contextmanager
def servers(folder: Path, database: str, drawn: str) -> Iterator[dict[str, Server]]:
    """Start the servers, and yield them by name. Each has two workers, except Flask's own server, which has threads.

    drawn: the database of a run with a lottery, which the service answers from as DRAWN.
    """
    environ = os.environ | {"DATABASE_URL": database, "API_DATABASE_URL": database}
    processes, found = Processes(folder), {}
    ports = [free_port() for _ in range(4)]
    services = {OURS: (folder, database), DRAWN: (folder / "lottery", drawn)}
    reference = "benchmarks.reference"
    flask = ["flask", "--app", f"{reference}.flask_psycopg2", "run", "--port", str(ports[2])]
    uvicorn = ["uvicorn", f"{reference}.fastapi_sqlalchemy:app", "--port", str(ports[3]), "--workers", "2"]
    commands = {
        BARE: command("127.0.0.1", ports[1], 2, f"{reference}.bare_flask:create_app"),
        PSYCOPG2: [sys.executable, "-m", *flask],
        SQLALCHEMY: [sys.executable, "-m", *uvicorn],
    }
    try:
        for name, (place, answers_from) in services.items():
            service = Service(place, ports[0] if name == OURS else free_port())
            service.start(environ | {"API_DATABASE_URL": answers_from}, "")
            record = Processes(place).record("api")
            found[name] = Server(name, service.url, record.pid if record else 0)
        for (name, words), port in zip(commands.items(), ports[1:], strict=True):
            process = processes.start(name[1], words, environ, port=port)
            found[name] = Server(name, f"http://127.0.0.1:{port}", process.pid, 2640 if name == BARE else None)
            processes.wait([name[1]], partial(_answers, found[name].url))
        yield found
    finally:
        for place, _ in services.values():
            Processes(place).stop("api")
        for name in commands:
            processes.stop(name[1])


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 404
    except requests.RequestException:
        return False
