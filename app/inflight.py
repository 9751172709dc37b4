"""Outermost WSGI layer: how long answers have been computed, and bodies that the app did not read. Used by `server`."""

import time
from collections.abc import Callable, Iterable
from typing import Any

MAX_DROPPED = 16 * 1024 * 1024  # bytes
CHUNK = 64 * 1024  # bytes


class InFlight:
    """The requests that this process has received and not yet begun to answer.

    What the app left of a body is read and dropped before the answer is sent. Otherwise the server closes a connection
    with unread data, the kernel resets it, and neither a client nor a proxy in between ever sees the refusal.
    """

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]]) -> None:
        self._wsgi_app = wsgi_app
        self._since: dict[Body, float] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"] = Body(environ, self._since)
        self._since[body] = time.monotonic()
        try:
            answer = self._wsgi_app(environ, start_response)
            body.drop_rest()
        finally:
            del self._since[body]
        return answer

    def longest(self) -> float:
        """For how many seconds the slowest answer has been computed, not counting the time to receive a body."""
        return time.monotonic() - min(self._since.copy().values(), default=time.monotonic())


class Body:
    """The body of a request. While it is waited for, its request is not among those `since` that are computed."""

    def __init__(self, environ: dict[str, Any], since: "dict[Body, float]") -> None:
        self._input = environ["wsgi.input"]
        self._since = since
        length = environ.get("CONTENT_LENGTH", "")
        self._left = int(length) if length.isdecimal() else None  # None: it says itself where it ends, or is none
        # A client that expects a 100 sends nothing before it: nothing is there to be dropped.
        expected = self._left or "HTTP_TRANSFER_ENCODING" in environ
        self._ended = not expected or "HTTP_EXPECT" in environ

    def read(self, size: int = -1) -> bytes:
        self._since.pop(self, None)
        try:
            found: bytes = self._input.read(size)
        finally:
            self._since[self] = time.monotonic()
        if self._left is not None:
            self._left -= len(found)
        self._ended = self._left == 0 or not 0 < size <= len(found)
        return found

    def drop_rest(self) -> None:
        """Read what was not read, up to MAX_DROPPED bytes."""
        dropped = 0
        while not self._ended and dropped < MAX_DROPPED:
            dropped += len(self.read(CHUNK))
