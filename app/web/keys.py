"""API keys. If any are set, requests without a key get a 401, except for health, metrics and documentation."""

import hmac
from collections.abc import Callable, Iterable
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from werkzeug.datastructures import Authorization

from app.web import problems

# Compared with the path exactly as Flask sees it. Any other spelling requires a key.
PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/redoc", "/redoc/"})
PUBLIC_PATHS |= {"/swagger", "/swagger/", "/oauth2-redirect.html"}
ASSETS = ("/redoc/", "/swagger/")  # only files of the documentation's wheels are below these
CHALLENGE = 'Bearer, Basic realm="Voucher Select", charset="UTF-8"'  # with Basic, a browser asks for a password


class ApiKeys:
    """WSGI layer that requires a key: a bearer token, or the password of any user."""

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], keys: Iterable[str]) -> None:
        self._wsgi_app = wsgi_app
        self._digests = tuple(_digest(key) for key in keys)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if is_public(environ["PATH_INFO"]) or self._knows(_given(environ.get("HTTP_AUTHORIZATION"))):
            return self._wsgi_app(environ, start_response)
        refusal = problems.response(problems.of_status(HTTPStatus.UNAUTHORIZED))
        refusal.headers["WWW-Authenticate"] = CHALLENGE
        return refusal(environ, start_response)

    def _knows(self, key: str) -> bool:
        """Return whether the key is valid, in constant time."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, known) for known in self._digests) > 0


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or (path.startswith(ASSETS) and "/." not in path)


def _given(header: str | None) -> str:
    """Return the key of a request; "" if it has none."""
    found = Authorization.from_header(header)
    if found is None or found.type not in ("bearer", "basic"):
        return ""
    return found.token or found.password or ""


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()
