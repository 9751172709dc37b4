"""A proxy that takes a prefix from the path, as a load balancer may do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.middleware.http_proxy import ProxyMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


@contextmanager
def under_prefix(address: str) -> Iterator[str]:
    """Start a proxy to `address` that removes /select/ from the path. Yield its address."""
    app = ProxyMiddleware(NotFound(), {"/select/": {"target": f"{address}/", "remove_prefix": True}})
    proxy = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.port}/select"
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
