"""How many downloads and bulk calls there are at once, and how a download ends. Called by `assignments` and `bulk`.

granian gives every response a thread of its own until its last byte is taken. So places are few; `sockets` ends
those of readers that stall.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from http import HTTPStatus

import structlog

from app.errors import ApiError

log = structlog.get_logger()


class TooManyDownloadsError(ApiError):
    """Every place is taken."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "too-many-downloads"
    title = "Too many downloads"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__("As many downloads are under way as may be at once. Try again when one has ended.")


class TooSlowError(Exception):
    """The download takes longer than any may."""


class TooManyCallsError(ApiError):
    """Every place is taken, and none became free in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "too-many-calls"
    title = "Too many bulk calls"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__(
            "As many bulk calls are under way as may be at once. Try again later, or send fewer at a time."
        )


class Places:
    """So many at once in this process; one more waits up to `patience` seconds for its place."""

    def __init__(self, number: int, error: Callable[[], ApiError], patience: float = 0) -> None:
        self._free = threading.BoundedSemaphore(number)
        self._error = error
        self._patience = patience

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Raises the error that was given if there is no place."""
        if not self._free.acquire(timeout=self._patience):
            raise self._error()
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
