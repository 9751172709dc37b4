"""Outermost WSGI layer: track requests in progress, and drain bodies that the app did not read. Used by `workers`."""

import time
from collections.abc import Callable, Iterable
from typing import Any

MAX_DROPPED = 16 * 1024 * 1024  # bytes
CHUNK = 64 * 1024  # bytes


class InFlight:
    """The requests that this process has received but not yet started to answer.

    The rest of a body that the app did not read is read and discarded before the response is sent. Otherwise the server
    closes a connection with unread data, the kernel resets it, and neither the client nor a proxy sees the response.
    """

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]]) -> None:
        self._wsgi_app = wsgi_app
        self._since: dict[Body, float] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"] = Body(environ["wsgi.input"], self._since)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        if not (length or chunked):
            self._since[body] = time.monotonic()
        try:
            answer = self._wsgi_app(environ, start_response)
            # A client that expects a 100 sends nothing before it gets one, so there is nothing to discard.
            if (chunked or body.got < length) and "HTTP_EXPECT" not in environ:
                body.drop_rest()
        finally:
            self._since.pop(body, None)
        return answer

    def longest(self) -> float:
        """Return how many seconds ago the body of the slowest request was received; 0 if no request is in progress."""
        return time.monotonic() - min(self._since.copy().values(), default=time.monotonic())


class Body:
    """A request body that counts the bytes read.

    `since` holds the time when it was last read. While a read is in progress, it has no entry there.
    """

    __slots__ = ("_input", "_since", "got")

    def __init__(self, source: Any, since: "dict[Body, float]") -> None:
        self._input = source
        self._since = since
        self.got = 0

    def read(self, size: int = -1) -> bytes:
        if self.got:
            self._since.pop(self, None)
        found: bytes = self._input.read(size)
        self.got += len(found)
        self._since[self] = time.monotonic()
        return found

    def drop_rest(self) -> None:
        """Read and discard the rest of the body, up to MAX_DROPPED bytes."""
        most = self.got + MAX_DROPPED
        while self.got < most and self.read(CHUNK):
            pass
