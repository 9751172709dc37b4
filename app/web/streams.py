"""Limit concurrent downloads and bulk requests, and end downloads. Used by `assignments`, `bulk` and `campaign`.

granian keeps a thread for each response until the client has read the last byte, so there are few slots. `sockets`
closes the connections of clients that stall.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus

import structlog

from app.errors import ApiError

log = structlog.get_logger()

# Held while a bulk request is answered, because several at once would slow down each other and /voucher. A file of
# customers holds it for a few lines at a time.
bulk_turn = threading.Lock()


class TooManyDownloadsError(ApiError):
    """All download slots are taken."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "too-many-downloads"
    title = "Too many downloads"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__("The maximum number of concurrent downloads is reached. Try again when one has ended.")


class TooSlowError(Exception):
    """The download takes longer than allowed."""


class TooManyCallsError(ApiError):
    """All bulk slots are taken, and none became free in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "too-many-calls"
    title = "Too many bulk requests"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__(
            "The maximum number of concurrent bulk requests is reached. Try again later, or send fewer at a time."
        )


class Slots:
    """A limited number of slots in this process. A request waits up to `wait_seconds` for a free one."""

    def __init__(self, number: int, error: Callable[[], ApiError], wait_seconds: float = 0) -> None:
        self._free = threading.BoundedSemaphore(number)
        self._error = error
        self._patience = wait_seconds

    @contextmanager
    def take(self) -> Generator[None, None, None]:
        """Hold a slot in a `with` block. Raises the given error if none is free."""
        if not self._free.acquire(timeout=self._patience):
            raise self._error()
        try:
            yield
        finally:
            self._free.release()


def stream(
    chunks: Iterable[bytes], slot: AbstractContextManager[object], seconds: float
) -> Generator[bytes, None, None]:
    """Return a generator of the chunks that releases `slot` when it ends, fails, is closed or is garbage-collected.

    The generator raises TooSlowError after `seconds`, and the errors of the chunks.
    """
    deadline = time.monotonic() + seconds

    def sent() -> Generator[bytes, None, None]:
        with slot:
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
    next(begun)  # a generator that was never started would not release `slot`
    return begun
