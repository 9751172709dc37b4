"""JSON lines on stderr: one for each request, and what the app has to say. No customer data is in them."""

import json
import re
from collections.abc import Callable, Iterable
from random import getrandbits
from time import perf_counter
from typing import Any

import structlog

log = structlog.get_logger()

RUN_HEADER = "Voucher-Run"  # names the run that an answer was read from
REQUEST_HEADER = "X-Request-Id"  # names the line of the log, and the line of whoever called
REQUEST_ID = "HTTP_X_REQUEST_ID"  # the same, where WSGI has it
SANE_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
LONGEST = 200  # characters of a path

Counts = Callable[[dict[str, Any], int, float], None]


def configure() -> None:
    write = json.JSONEncoder(default=str).encode  # made once: json.dumps would make one for each line
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=lambda event, **_: write(event).encode()),
        ],
        # The file descriptor, not sys.stderr: one write a line, so that lines of several workers do not mix.
        logger_factory=structlog.BytesLoggerFactory(open(2, "wb", buffering=0, closefd=False)),  # noqa: SIM115
        cache_logger_on_first_use=True,
    )


class RequestLog:
    """Around the whole Flask app rather than in its hooks, which would take four times as long.

    The line is written, and the request counted, before the server sends the answer: who has it can rely on both.
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
                run=next((value for name, value in headers if name == RUN_HEADER), None),
                request_id=request_id,
            )
            self._count(environ, code, seconds)
            return start_response(status, [*headers, (REQUEST_HEADER, request_id)], *exc_info)

        return self._wsgi_app(environ, start)


def _request_id(given: str | None) -> str:
    """The caller's, where it is fit for a line and a header, else a new one."""
    return given if given and SANE_ID.fullmatch(given) else f"{getrandbits(64):016x}"
