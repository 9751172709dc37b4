"""How a worker ends without losing a request: it says goodbye on every connection before the server cuts them.

granian, told to end, closes kept-alive connections without a word, and so those whose next request is on its way.
Installed by `server` in each worker.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from app import connections

log = structlog.get_logger()

GOODBYE = 2.5  # seconds in which each client that asks is told to close; one that asks more rarely is cut while idle
LAST_ANSWERS = 1.0  # seconds for those who are connected when nobody else is let in

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Farewell:
    """Outermost WSGI layer: while the worker leaves, each answer closes its connection."""

    def __init__(self, wsgi_app: WSGI) -> None:
        self._wsgi_app = wsgi_app
        self.leaving = False

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return self._wsgi_app(environ, _closing(start_response) if self.leaving else start_response)


def _closing(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")], *exc_info)

    return start


def prepare() -> None:
    """Keep SIGTERM for `follow`. To be called in a worker's main thread before it has other threads.

    Until the server has handlers of its own, SIGINT ends the process: those it inherits, of granian's first process,
    swallow it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def follow(farewell: Farewell) -> None:
    """Wait for SIGTERM, in a thread, and leave."""
    threading.Thread(target=_leave, args=(farewell,), name="leaving", daemon=True).start()


def _leave(farewell: Farewell) -> None:
    signal.sigwait({signal.SIGTERM})
    log.info("leaving")
    farewell.leaving = True
    ports = connections.ports()
    _wait_for_nobody(ports, GOODBYE)
    connections.refuse_new()
    _wait_for_nobody(ports, LAST_ANSWERS)
    os.kill(os.getpid(), signal.SIGINT)  # granian stops: it waits for the answers under way, and for nobody else


def _wait_for_nobody(ports: frozenset[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(True for _ in connections.clients(ports)):
        time.sleep(0.02)
