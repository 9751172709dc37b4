"""Check ports before anything is started: which are free, and who has the others."""

import secrets
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

import psutil

PORTS = {  # by variable: the part that listens there, and the default
    "API_PORT": ("api", 8000),
    "AIRFLOW_PORT": ("airflow-api", 8080),
    "POSTGRES_PORT": ("postgres", 5432),
    "S3_PORT": ("s3", 9000),
}


def free_port() -> int:
    """Return a free port outside of the range that the system assigns, so that a restarted server can have it again."""
    while True:
        port = secrets.choice(range(20_000, 32_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def duplicates(needed: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each port that two variables ask for."""
    for port in sorted(set(needed.values())):
        names = [name for name, value in needed.items() if value == port]
        if len(names) > 1:
            yield f"Port {port} is asked for by {' and '.join(names)}. Choose a different port for each."


def taken(needed: Mapping[str, int], ours: Collection[int | None]) -> Iterator[str]:
    """Yield a sentence for each port that another process has, with the variable to set."""
    for name, port in needed.items():
        if port not in ours and (holder := _holder(port)):
            yield f"Port {port} is {holder}. Stop that process, or choose another port: make up {name}={free_port()}"


def _holder(port: int) -> str | None:
    """Return who has the port, as far as that can be found out; None if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return "reserved for root"
        except OSError:
            return _listener(port)
    return None


def _listener(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
        pid = next(
            each.pid for each in connections if each.laddr[1:] == (port,) and each.status == "LISTEN" and each.pid
        )
        return f"in use by {psutil.Process(pid).name()} (process {pid})"
    except (StopIteration, psutil.Error):
        return "in use by a process of another user"
