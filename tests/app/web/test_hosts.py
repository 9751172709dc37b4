"""The host names that the service answers to, and its refusals."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import Ask, Tables, served, start, stop

KEY = "a-key-of-16-or-more"
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}


@pytest.fixture(scope="module")
def clients(standing_database: str) -> Iterator[dict[str, FlaskClient]]:
    """Yield clients of three apps: without settings, with VOUCHER_HOSTS, and with an API key."""
    settings = {"open": {}, "named": {"hosts": ("vouchers.example",)}, "keys": {"api_keys": (KEY,)}}
    with ExitStack() as apps:
        found = {}
        for name, options in settings.items():
            app = start(standing_database, **options)
            apps.callback(stop, app)
            found[name] = app.test_client()
        yield found


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "10.1.2.3", "api", "api:8000"),
        "printer.local",
        *("vouchers.default.svc", "vouchers.default.svc.cluster.local:8000", "shop.internal", "localhost."),
    ],
)
def test_addresses_and_private_names_are_answered(standing: Ask, host: str) -> None:
    """The service accepts IP addresses and private names, because no foreign web site can have one."""
    assert standing.client.post("/voucher", json=CUSTOMER, headers={"Host": host}).status_code == 200
    assert standing.client.get("/readyz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/voucher", "/vouchers", "/assignments.csv", "/readyz", "/openapi.json", "/nowhere"]
)
def test_a_public_name_is_refused_until_it_is_named(clients: dict[str, FlaskClient], path: str) -> None:
    """The service refuses unknown public names, which prevents DNS rebinding; the refusal names the setting."""
    headers = {"Host": "rebind.evil.example:8000"}
    for client in clients["open"], clients["named"]:
        for method in ("GET", "POST"):
            refused = client.open(path, method=method, json=CUSTOMER, headers=headers)
            assert refused.status_code == 421, (path, method)
            assert "VOUCHER_HOSTS=rebind.evil.example" in refused.json["detail"]
    assert clients["named"].get("/readyz", headers={"Host": "Vouchers.Example:443"}).status_code == 200
    assert clients["keys"].get("/readyz", headers=headers).status_code == 200
    assert clients["keys"].get("/", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "a/b", "a@b", "<x>", "localhost:port", "localhost,localhost", "::1", "[::1"]
)
def test_a_host_that_cannot_be_read_is_refused(clients: dict[str, FlaskClient], host: str) -> None:
    """The service refuses an invalid Host header, with and without keys."""
    for client in clients.values():
        assert client.get("/livez", headers={"Host": host}).status_code == 400


def test_on_the_wire_a_request_has_one_host(database: str, tables: Tables) -> None:
    """HTTP/1.1 requires exactly one Host header; HTTP/1.0 does not require one."""
    tables.publish()
    with served(database) as url:

        def status(start: str) -> bytes:
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as connection:
                connection.sendall(f"GET /livez {start}\r\nConnection: close\r\n\r\n".encode())
                return connection.recv(100)[9:12]

        assert status("HTTP/1.1\r\nHost: localhost") == b"200"
        assert status("HTTP/1.0") == b"200"
        assert status("HTTP/1.1") == b"400"
        assert status("HTTP/1.1\r\nHost: localhost\r\nHost: rebind.evil.example") in (b"400", b"421")
        assert status("HTTP/1.1\r\nHost: rebind.evil.example\r\nHost: localhost") in (b"400", b"421")
        assert status("HTTP/1.1\r\nHost: rebind.evil.example") == b"421"
