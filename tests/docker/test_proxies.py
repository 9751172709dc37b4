"""The proxies of docs/operations.md: /metrics, which needs no key, is not public."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from proofs.support.proxies import CA, GUIDE, NGINX, UNDER_A_PREFIX, Proxy

(LOCATION,) = re.findall(r"`(location = /select/metrics .*?)`", GUIDE)
PASSED_ON = "location /select/ { proxy_pass http://service/; }"
AS_IN_THE_GUIDE = replace(
    NGINX,
    configuration=NGINX.configuration.replace("location / { proxy_pass http://service; }", f"{LOCATION} {PASSED_ON}"),
)


class Echo(BaseHTTPRequestHandler):
    """Answers each request with the path that it got."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("proxy", [UNDER_A_PREFIX, AS_IN_THE_GUIDE], ids=lambda proxy: str(proxy.name))
def test_metrics_are_not_public(port: int, proxy: Proxy, tmp_path: Path) -> None:
    """The guide's Caddyfile and line for nginx refuse /metrics below the path, and hand on everything else."""
    with proxy.before(tmp_path, [port]) as address:
        base, ca = f"{address.removesuffix('/select')}/select", tmp_path / CA
        answers = [
            requests.get(base + path, verify=str(ca) if ca.exists() else True, timeout=10)
            for path in ("/metrics", "/segments", "/metrics.html")
        ]
    assert [answer.status_code for answer in answers] == [404, 200, 200]
    assert [answer.text for answer in answers[1:]] == ["/segments", "/metrics.html"]
