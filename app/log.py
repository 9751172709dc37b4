"""JSON lines on stderr: one for each request, and what the app has to say. No customer data is in them."""

import json
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import structlog

log = structlog.get_logger()

RUN_HEADER = "Voucher-Run"  # names the run that an answer was read from


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
    """Around the whole Flask app rather than in its hooks, which would take four times as long."""

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]]) -> None:
        self._wsgi_app = wsgi_app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            log.info(
                "request",
                method=environ["REQUEST_METHOD"],
                path=environ["PATH_INFO"],
                status=int(status[:3]),
                ms=round((perf_counter() - began) * 1000, 2),
                run=next((value for name, value in headers if name == RUN_HEADER), None),
            )
            return start_response(status, headers, *exc_info)

        return self._wsgi_app(environ, start)
