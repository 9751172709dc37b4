"""Answer plain, valid requests to POST /voucher without Flask. `create_app` wraps Flask in it.

Reading a customer and finding the amount takes 15 µs. Flask's routing, contexts and response add 65 µs; a bare Flask
route that returns a constant takes 45 µs in total (Python 3.12, in process). Under granian and wrk, with log and
metrics, the service reached 0.56 of the bare route's requests per second through Flask, and reaches the same number
through this module. `make bench` measures it again.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from app.published.refresher import Published
from app.settings import MAX_BODY_BYTES
from app.voucher.customer import Customer
from app.voucher.routes import respond


class FastVoucher:
    """WSGI layer that answers plain requests with the function of the route, and passes all others on to Flask."""

    def __init__(self, wsgi_app: Callable[..., Iterable[bytes]], published: Published) -> None:
        self._wsgi_app = wsgi_app
        self._published = published

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not plain(environ):
            return self._wsgi_app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        try:
            content, headers = respond(Customer.from_json(body), self._published)
        except Exception:  # noqa: BLE001  (Flask raises it again, and `problems` turns it into HTTP)
            environ["wsgi.input"] = BytesIO(body)
            return self._wsgi_app(environ, start_response)
        start_response("200 OK", headers)
        return [content]


def plain(environ: dict[str, Any]) -> bool:
    """Return whether this is a POST /voucher without a query, encoding or charset for the route to check."""
    length = environ.get("CONTENT_LENGTH", "")
    return (
        environ["REQUEST_METHOD"] == "POST"
        and environ["PATH_INFO"] == "/voucher"
        and not environ["QUERY_STRING"]
        and environ.get("CONTENT_TYPE") == "application/json"
        and "HTTP_TRANSFER_ENCODING" not in environ
        and "HTTP_CONTENT_ENCODING" not in environ
        and length.isdecimal()
        and len(length) <= len(str(MAX_BODY_BYTES))
        and int(length) <= MAX_BODY_BYTES
    )
