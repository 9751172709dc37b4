"""Log to stderr as JSON lines: one line per request, and the app's messages. They contain no customer data."""

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from random import getrandbits
from time import perf_counter
from typing import Any

import structlog
from pydantic_core import to_json

log = structlog.get_logger()

RUN_HEADER = "Voucher-Run"  # the run that an answer was read from
REQUEST_HEADER = "X-Request-Id"  # identifies the request in the logs of both sides
REQUEST_ID = "HTTP_X_REQUEST_ID"  # the same header in the WSGI environ
SANE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
MAX_LENGTH = 200  # characters of a method or path
NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # flag of pwritev(2) on Linux: fail instead of waiting

Counts = Callable[[dict[str, Any], int, float], None]


class Stderr:
    """Writes each line with one call to the file descriptor, so that lines of several workers do not mix.

    Logging never blocks a request or makes it fail: if the disk is full or nobody reads the pipe, the line is lost.
    `lost` counts lost lines. The next line that can be written is followed by a line with that number.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._number, self._flags = 2, NOWAIT
        self._torn = b""  # prefix of the next line: a line end, if the last one was written only in part

    def write(self, line: bytes) -> None:
        if not self._put(line):
            self.lost += 1
        elif self.lost and self._put(b'{"lines": %d, "event": "log lines lost"}\n' % self.lost):
            self.lost = 0

    def flush(self) -> None:
        """Do nothing: lines are not buffered."""

    def _put(self, line: bytes) -> bool:
        try:
            number, flags, text = self._number, self._flags, self._torn + line
            written = os.pwritev(number, [text], -1, flags) if flags else os.write(number, text)
        except OSError as error:
            if not flags or error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                return False
            self._number, self._flags = _non_blocking(), 0
            return self._put(line)
        self._torn = b"" if written == len(text) else b"\n"
        return not self._torn


def _non_blocking() -> int:
    """Return a non-blocking file descriptor of stderr, for pipes and terminals, where pwritev has no such flag.

    It is opened again, because O_NONBLOCK on stderr itself would affect every process that inherited it.
    """
    if not stat.S_ISREG(os.fstat(2).st_mode):
        with suppress(OSError):  # another user's terminal can be written to, but not opened
            return os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return 2


stderr = Stderr()


def configure() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        logger_factory=structlog.BytesLoggerFactory(stderr),  # type: ignore[arg-type]  # structlog uses no other method of a file
        cache_logger_on_first_use=True,
    )


def _to_json(event: Mapping[str, Any], **_: Any) -> bytes:
    """Serialize an event as ASCII, so that it cannot contain terminal commands."""
    try:
        return to_json(event, ensure_ascii=True, fallback=str)  # four times as fast as json.dumps
    except ValueError:  # it cannot write a lone surrogate
        return json.dumps(event, default=str).encode()


class RequestLog:
    """WSGI layer that logs and counts each request. Flask's hooks would take four times as long.

    It logs before the server sends the response. `ms` is the time until the response starts, not until a stream ends.
    Queries are not logged, because they may identify a customer.
    """

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], count: Counts) -> None:
        self._wsgi_app = wsgi_app
        self._count = count

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = perf_counter()
        # The rest of the app reads it from there, so that log lines of errors have the same id.
        request_id = environ[REQUEST_ID] = _request_id(environ.get(REQUEST_ID))

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            seconds, code = perf_counter() - began, int(status[:3])
            log.info(
                "request",
                method=environ["REQUEST_METHOD"][:MAX_LENGTH],
                path=environ["PATH_INFO"][:MAX_LENGTH],
                status=code,
                ms=round(seconds * 1000, 2),
                run=dict(headers).get(RUN_HEADER),
                request_id=request_id,
            )
            self._count(environ, code, seconds)
            return start_response(status, [*headers, (REQUEST_HEADER, request_id)], *exc_info)

        return self._wsgi_app(environ, start)


def _request_id(given: str | None) -> str:
    """Return the caller's id if it is safe in a log line and a header, otherwise a new one."""
    return given if given and SANE_ID.fullmatch(given) else f"{getrandbits(64):016x}"
