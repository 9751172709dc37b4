"""API keys: requests without one get a 401, except for health, metrics and documentation. Used if keys are set."""

import hmac
from collections.abc import Callable, Iterable
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from werkzeug.datastructures import Authorization

from app.web import problems

# Exactly these, compared with the path as Flask will see it: whatever is spelled in another way is guarded.
OPEN = frozenset({"/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/redoc", "/redoc/"})
OPEN |= {"/swagger", "/swagger/", "/oauth2-redirect.html"}
ASSETS = ("/redoc/", "/swagger/")  # files of the documentation's wheels, and nothing else, lie below
CHALLENGE = 'Bearer, Basic realm="Voucher Select", charset="UTF-8"'  # Basic: so that a browser asks for a password


class ApiKeys:
    """WSGI layer. A key is a bearer token, or the password of whatever user."""

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], keys: Iterable[str]) -> None:
        self._wsgi_app = wsgi_app
        self._digests = tuple(_digest(key) for key in keys)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if is_open(environ["PATH_INFO"]) or self._knows(_given(environ.get("HTTP_AUTHORIZATION"))):
            return self._wsgi_app(environ, start_response)
        refusal = problems.response(problems.refused(HTTPStatus.UNAUTHORIZED))
        refusal.headers["WWW-Authenticate"] = CHALLENGE
        return refusal(environ, start_response)

    def _knows(self, key: str) -> bool:
        """Takes as long whichever key fits, and however much of one."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, known) for known in self._digests) > 0


def is_open(path: str) -> bool:
    return path in OPEN or (path.startswith(ASSETS) and "/." not in path)


def _given(header: str | None) -> str:
    """The key that a request bears, empty when none."""
    found = Authorization.from_header(header)
    if found is None or found.type not in ("bearer", "basic"):
        return ""
    return found.token or found.password or ""


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()
