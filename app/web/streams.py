"""Limit how many downloads and bulk calls there are at once, and end downloads. Used by `assignments` and `bulk`.

granian gives every response a thread of its own until the client has taken the last byte. So places are few; `sockets`
ends the connections of clients that stall.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
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
    """The download takes longer than is allowed."""


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

    @contextmanager
    def one(self) -> Generator[None, None, None]:
        """Raises the error that was given if there is no place."""
        if not self._free.acquire(timeout=self._patience):
            raise self._error()
        try:
            yield
        finally:
            self._free.release()


def stream(
    chunks: Iterable[bytes], place: AbstractContextManager[object], seconds: float
) -> Generator[bytes, None, None]:
    """Return a generator of the chunks that leaves `place` at its end, on an error, and when it is closed or forgotten.

    It raises TooSlowError after so many seconds, and what the chunks raise.
    """
    deadline = time.monotonic() + seconds

    def sent() -> Generator[bytes, None, None]:
        with place:
            yield b""
            try:
                for chunk in chunks:
                    if time.monotonic() > deadline:
                        raise TooSlowError
                    yield chunk
            except Exception as error:
                log.warning("download cut off", error=type(error).__name__)
                raise

    begun = sent()
    next(begun)  # a generator that was never begun would not leave `place`
    return begun
