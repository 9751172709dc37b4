"""Add security headers and CORS headers to every response."""

import re
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import Any

Headers = list[tuple[str, str]]

# Defaults, for responses that do not set them. HTML pages have a policy of their own.
DEFAULTS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # the same as frame-ancestors, for old browsers
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # the next run may have another answer
}
HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~-]+( *, *[\w!#$%&'*+.^`|~-]+)*", re.ASCII)  # RFC 9110
MAX_AGE = "600"  # seconds for which a browser caches a preflight response


class SecurityHeaders:
    """WSGI layer. Pages of `origins` may call the API from a browser, but without cookies or passwords."""

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], origins: Collection[str]) -> None:
        self._wsgi_app = wsgi_app
        self._origins = frozenset(origins)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        cors = self._cors(environ.get("HTTP_ORIGIN")) if self._origins else []

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            given = dict(headers)  # Werkzeug writes names in one case; lower-casing them would slow down every request
            missing = [header for header in DEFAULTS.items() if header[0] not in given]
            return start_response(status, [*headers, *missing, *cors], *exc_info)

        # Answered before API keys are checked, because a preflight request cannot have one.
        if len(cors) > 1 and environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            start(f"{HTTPStatus.NO_CONTENT.value} No Content", _preflight(environ))
            return [b""]
        return self._wsgi_app(environ, start)

    def _cors(self, origin: str | None) -> Headers:
        """Return the CORS headers. If any origins are allowed, every response varies by origin."""
        if origin not in self._origins:
            return [("Vary", "Origin")]
        return [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", "*"),  # such as Voucher-Run
        ]


def _preflight(environ: dict[str, Any]) -> Headers:
    """Return headers that allow what the browser asks for.

    Tracing adds headers of its own, and cookies or passwords are never sent.
    """
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    return [
        ("Access-Control-Allow-Methods", "GET, POST"),
        *([("Access-Control-Allow-Headers", asked)] if HEADER_NAMES.fullmatch(asked) else []),
        ("Access-Control-Max-Age", MAX_AGE),
    ]
