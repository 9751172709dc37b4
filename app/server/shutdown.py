"""Graceful shutdown of a worker: ask clients to close their connections before the server stops. Used by `workers`.

On SIGINT, granian closes idle keep-alive connections at once, and loses requests that are on their way.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from app.server import sockets

log = structlog.get_logger()

DRAIN_SECONDS = 2.5  # until the worker stops listening; connections that are idle for this long are closed
LAST_ANSWERS_SECONDS = 1.0  # after that, for clients that are still connected

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class CloseConnections:
    """WSGI layer: once `active`, every response closes its connection."""

    def __init__(self, wsgi_app: WSGI) -> None:
        self._wsgi_app = wsgi_app
        self.active = False

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return self._wsgi_app(environ, _closing(start_response) if self.active else start_response)


def _closing(start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")], *exc_info)

    return start


def block_sigterm() -> None:
    """Keep SIGTERM for `wait_for_sigterm`. Call this in a worker's main thread, before it starts other threads.

    A worker inherits a SIGINT handler of granian's main process that ignores the signal. Until granian installs the
    worker's own, SIGINT ends the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_sigterm(closing: CloseConnections) -> None:
    """Start a thread that shuts the worker down after SIGTERM."""
    threading.Thread(target=_shut_down, args=(closing,), name="shutdown", daemon=True).start()


def _shut_down(closing: CloseConnections) -> None:
    signal.sigwait({signal.SIGTERM})
    log.info("shutting down")
    closing.active = True
    ports = sockets.ports()
    _wait_for_clients(ports, DRAIN_SECONDS)
    sockets.stop_listening()
    _wait_for_clients(ports, LAST_ANSWERS_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)  # granian stops as soon as the responses in progress have ended


def _wait_for_clients(ports: frozenset[int], seconds: float) -> None:
    """Wait until no client is connected, at most this many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(True for _ in sockets.clients(ports)):
        time.sleep(0.02)
