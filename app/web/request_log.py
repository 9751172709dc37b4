"""JSON lines on stderr: one for each request, and what the app has to say. No customer data is in them."""

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

RUN_HEADER = "Voucher-Run"  # names the run that an answer was read from
REQUEST_HEADER = "X-Request-Id"  # identifies the request in the logs of both sides
REQUEST_ID = "HTTP_X_REQUEST_ID"  # the same, where WSGI has it
SANE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
LONGEST = 200  # characters of a path
AT_ONCE = getattr(os, "RWF_NOWAIT", 0)  # a flag of pwritev(2): fail rather than wait; Linux has it

Counts = Callable[[dict[str, Any], int, float], None]


class Stderr:
    """The file descriptor, not sys.stderr: one write a line, so that lines of several workers do not mix.

    No line decides whether a request is answered: one for which the disk has no room, or that nobody reads from a pipe,
    is lost, and nobody waits. `lost` counts them until one gets through again; the next one tells how many there were.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._number, self._flags = 2, AT_ONCE
        self._torn = b""  # what goes before the next line, once only a part of one was taken

    def write(self, line: bytes) -> None:
        if not self._put(line):
            self.lost += 1
        elif self.lost and self._put(b'{"lines": %d, "event": "log lines lost"}\n' % self.lost):
            self.lost = 0

    def flush(self) -> None:
        """Nothing is kept back."""

    def _put(self, line: bytes) -> bool:
        try:
            number, flags, text = self._number, self._flags, self._torn + line
            written = os.pwritev(number, [text], -1, flags) if flags else os.write(number, text)
        except OSError as error:
            if not flags or error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                return False
            self._number, self._flags = _impatient(), 0
            return self._put(line)
        self._torn = b"" if written == len(text) else b"\n"
        return not self._torn


def _impatient() -> int:
    """Return a file descriptor of stderr that fails rather than wait; pwritev cannot on a named pipe or a terminal.

    It is opened anew, because O_NONBLOCK would hold for all that have inherited stderr. A file is never waited for.
    """
    if not stat.S_ISREG(os.fstat(2).st_mode):
        with suppress(OSError):  # somebody else's terminal: it can be written to, and not opened
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
        logger_factory=structlog.BytesLoggerFactory(stderr),  # type: ignore[arg-type]  # all of a file that it needs
        cache_logger_on_first_use=True,
    )


def _to_json(event: Mapping[str, Any], **_: Any) -> bytes:
    """In ASCII, which no terminal takes for commands."""
    try:
        return to_json(event, ensure_ascii=True, fallback=str)  # takes a quarter of the time of json.dumps
    except ValueError:  # it cannot write half a surrogate pair
        return json.dumps(event, default=str).encode()


class RequestLog:
    """Around the whole Flask app rather than in its hooks, which would take four times as long.

    The line is written, and the request counted, before the server sends the answer: who has it can rely on both,
    as long as the log takes lines.
    `ms` ends where the answer begins; a stream goes on. Queries are left out, as who is asked for may stand there.
    """

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], count: Counts) -> None:
        self._wsgi_app = wsgi_app
        self._count = count

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = perf_counter()
        # Put where the rest of the app finds it too: an error's own line bears the same id.
        request_id = environ[REQUEST_ID] = _request_id(environ.get(REQUEST_ID))

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            seconds, code = perf_counter() - began, int(status[:3])
            log.info(
                "request",
                method=environ["REQUEST_METHOD"][:LONGEST],
                path=environ["PATH_INFO"][:LONGEST],
                status=code,
                ms=round(seconds * 1000, 2),
                run=dict(headers).get(RUN_HEADER),
                request_id=request_id,
            )
            self._count(environ, code, seconds)
            return start_response(status, [*headers, (REQUEST_HEADER, request_id)], *exc_info)

        return self._wsgi_app(environ, start)


def _request_id(given: str | None) -> str:
    """The caller's, where it is fit for a line and a header, else a new one."""
    return given if given and SANE_ID.fullmatch(given) else f"{getrandbits(64):016x}"
