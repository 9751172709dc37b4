"""Check the Host header of every request, before any route."""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from app.errors import echo
from app.web import problems

HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
# Top-level names that nobody can own: RFC 6761, RFC 6762 with its appendix G, .internal (ICANN), svc (Kubernetes).
PRIVATE = {"localhost", "test", "local", "internal", "intranet", "private", "corp", "home", "lan", "svc"}


class Hosts:
    """WSGI layer that refuses requests with an invalid Host, or with a public name that is not in `names`.

    If `names` is None, all names are allowed.

    This prevents DNS rebinding: without keys, any web site could point its own name to 127.0.0.1 and read answers in
    its visitors' browsers. IP addresses and private names cannot be used for this.
    """

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], names: Collection[str] | None) -> None:
        self._wsgi_app = wsgi_app
        self._names = names
        self._refusal = lru_cache(maxsize=256)(self._check)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        if not host and environ["SERVER_PROTOCOL"] != "HTTP/1.1":  # HTTP/1.0 does not require a Host
            return self._wsgi_app(environ, start_response)
        refusal = self._refusal(host)
        return (
            problems.response(refusal)(environ, start_response) if refusal else self._wsgi_app(environ, start_response)
        )

    def _check(self, host: str) -> problems.Problem | None:
        found = HOST.fullmatch(host)
        if not found:
            return problems.of_status(HTTPStatus.BAD_REQUEST, f"Host {echo(host)!r} is not a host name.")
        name = found["name"].lower().rstrip(".")
        if self._names is None or name in self._names or not is_public(name):
            return None
        detail = (
            f"{name} is not a name of this service. If it should be, set VOUCHER_HOSTS={name} in the service's "
            "environment, or set VOUCHER_API_KEYS."
        )
        return problems.of_status(HTTPStatus.MISDIRECTED_REQUEST, detail)


def is_public(name: str) -> bool:
    """Return whether a name could be registered: it has a dot, and is neither an IP address nor private."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." in name and name.rpartition(".")[2] not in PRIVATE
    return False
