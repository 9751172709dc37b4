"""Common reverse proxies for the service, with their defaults, each on its own port."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.ports import free_port
from dev.processes import until
from proofs.support.environment import ROOT

PATH = f"{os.environ['PATH']}:/usr/sbin"  # where Debian installs some of them


@dataclass(frozen=True)
class Proxy:
    """A program, its arguments and configuration, the line for each server behind it, and its address."""

    name: str
    arguments: tuple[str, ...]
    configuration: str
    server: str
    address: str = "http://127.0.0.1:PORT"

    @contextmanager
    def before(self, folder: Path, ports: Sequence[int]) -> Iterator[str]:
        """Start the proxy for the servers on these ports. Yield its address. Skip the test if it is not installed."""
        if not (program := shutil.which(self.name, path=PATH)):
            pytest.skip(f"{self.name} is not installed")
        port = free_port()
        servers = "\n".join(self.server.replace("PORT", str(each)) for each in ports)
        text = self.configuration.replace("SERVERS", servers).replace("PORT", str(port))
        (folder / "proxy.conf").write_text(text)
        environ = os.environ | {"HOME": str(folder)}
        command = [program, *self.arguments]
        with subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.DEVNULL) as process:
            try:
                assert until(lambda: _accepts(port), 10), f"{self.name} does not listen"
                yield self.address.replace("PORT", str(port))
            finally:
                process.terminate()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


NGINX = Proxy(
    "nginx",
    ("-p", ".", "-e", "error.log", "-c", "proxy.conf"),
    """
    daemon off; pid nginx.pid; error_log error.log; user root;
    events {}
    http {
        access_log off; client_body_temp_path body; proxy_temp_path proxied;
        fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        upstream service { SERVERS }
        server { listen 127.0.0.1:PORT; location / { proxy_pass http://service; } }
    }""",
    "server 127.0.0.1:PORT;",
)
CADDY = Proxy(
    "caddy",
    ("run", "--config", "proxy.conf", "--adapter", "caddyfile"),
    """
{
    admin off
}
http://:PORT {
    bind 127.0.0.1
    reverse_proxy {
        SERVERS
    }
}""",
    "to 127.0.0.1:PORT",
)
GUIDE = (ROOT / "docs" / "operations.md").read_text()
[CADDYFILE] = re.findall(r"```Caddyfile\n(vouchers\.example .*?)```", GUIDE, re.DOTALL)
UNDER_A_PREFIX = Proxy(  # as in the operations guide; its certificate authority is CA in its folder
    "caddy",
    ("run", "--config", "proxy.conf", "--adapter", "caddyfile"),
    "{\nadmin off\nskip_install_trust\nauto_https disable_redirects\n}\n"
    + CADDYFILE.replace("vouchers.example {", "https://localhost:PORT {\ntls internal").replace(
        "127.0.0.1:8000", "SERVERS"
    ),
    "127.0.0.1:PORT",
    "https://localhost:PORT/select",
)
CA = Path(".local/share/caddy/pki/authorities/local/root.crt")
HAPROXY = Proxy(
    "haproxy",
    ("-db", "-f", "proxy.conf"),
    """
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen service
    bind 127.0.0.1:PORT
    SERVERS
""",
    "server service-PORT 127.0.0.1:PORT",
)
EVERY = (NGINX, CADDY, HAPROXY)
