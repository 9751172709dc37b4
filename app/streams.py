"""How many downloads there are at once, and how each one ends. Called by `assignments`.

granian gives every response a thread of its own until its last byte is taken, and waits for a reader that takes none
for ever. So places are few, and the kernel ends the connection of a reader that stalls.
"""

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import structlog

log = structlog.get_logger()

SOCKETS = Path("/proc/self/fd")  # of this process; elsewhere than on Linux there is no such folder
TCP_USER_TIMEOUT = 18  # Linux' own; Python names it on Linux only


class TooManyDownloadsError(Exception):
    """Every place is taken."""

    retry_after = 10


class TooSlowError(Exception):
    """The download takes longer than any may."""


class Places:
    """So many downloads at once in this process."""

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Raises TooManyDownloadsError, rather than to wait."""
        if not self._free.acquire(blocking=False):
            raise TooManyDownloadsError
        try:
            yield
        finally:
            self._free.release()


class Stream:
    """Chunks as WSGI takes them. `end` is called once: when it is closed, or forgotten without ever being begun."""

    def __init__(self, chunks: Generator[bytes, None, None], end: Callable[[], None], seconds: float) -> None:
        self._chunks = chunks
        self._end = weakref.finalize(self, end)
        self._deadline = time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Raises TooSlowError past the deadline, and what the chunks raise."""
        try:
            if time.monotonic() > self._deadline:
                raise TooSlowError
            return next(self._chunks)
        except Exception as error:
            if not isinstance(error, StopIteration):
                log.warning("download cut off", error=type(error).__name__)
            raise

    def close(self) -> None:
        self._chunks.close()
        self._end()


def end_stalled(port: str, seconds: float) -> None:
    """From now on, the kernel ends a connection to this port whose reader has taken nothing for so long.

    It is set for all of them, as WSGI does not say which one a request came by. The server has no such setting, and
    where there is no TCP, or no Linux, there is none at all.
    """
    if not SOCKETS.is_dir():
        return
    for entry in SOCKETS.iterdir():
        with contextlib.suppress(OSError):  # no socket, or closed meanwhile
            _end_stalled(socket.socket(fileno=int(entry.name)), port, int(seconds * 1000))


def _end_stalled(connection: socket.socket, port: str, milliseconds: int) -> None:
    try:
        if connection.family in (socket.AF_INET, socket.AF_INET6) and str(connection.getsockname()[1]) == port:
            connection.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds)
    finally:
        connection.detach()  # the server goes on with it
