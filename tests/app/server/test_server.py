"""The service as a process: `python -m app`, which is replaced by granian."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dev.ports import free_port
from dev.processes import Processes, until
from dev.services.api import Service
from tests.app.conftest import Tables
from tests.conftest import API, ROOT, as_role

KEY = "a-key-of-16-or-more"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture
def service(database: str, tables: Tables, folder: Path) -> Iterator[Service]:
    """Start a service that requires a key."""
    tables.publish()
    service = Service(folder, free_port(), KEY)
    env = os.environ | {"API_DATABASE_URL": as_role(database, API), "VOUCHER_API_KEYS": KEY, "VOUCHER_WORKERS": "1"}
    try:
        service.start(env, "")
        yield service
    finally:
        Processes(folder).stop("api")


def start_line(service: Service, line: str) -> str:
    """Send a request with this first line, unchanged, and return the status."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(
            f"{line} HTTP/1.1\r\nHost: voucher\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
        )
        return connection.recv(64).decode()[9:12]


def test_it_keeps_its_doors_shut_whatever_a_path_looks_like(service: Service) -> None:
    """Raw paths, which no client has normalized, do not bypass the key; with the key, the service answers."""
    assert service.ask() == ("Peru", '{"voucher_amount":2200}')
    for path in (
        *("/voucher", "//voucher", "/voucher/", "/./voucher", "/livez/../voucher", "/livez/%2e%2e/voucher", "/LIVEZ"),
        *("/livez%2F..%2Fvoucher", "/%76oucher", "/livez;/../voucher", "/redoc/../voucher", "/redoc/%2e%2e/voucher"),
        *("http://voucher/voucher", "http://voucher/livez/../voucher", "/livez%00", "/livez%3F/../voucher"),
        "/segments",
    ):
        assert start_line(service, f"POST {path}") == "401", path
    assert {start_line(service, f"GET {path}") for path in ("/livez", "/readyz?x", "/%6civez", "/openapi.json")} == {
        "200"
    }


def test_a_start_without_what_it_needs_says_so_in_a_line() -> None:
    """The service exits with a one-line error for an invalid setting, without starting workers that would fail."""
    ended = subprocess.run(
        [sys.executable, "-m", "app", "--port", str(free_port())],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "API_DATABASE_URL": "postgresql://x@y/z", "VOUCHER_API_KEYS": "short"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: VOUCHER_API_KEYS: key 1 of 1 has fewer than 16 characters. Generate one with `openssl rand -hex 16`.\n"
    )


def test_unknown_settings_are_warned_of_once() -> None:
    """The service logs one warning at startup for an unknown setting, with the most similar known name."""
    environ = {"PATH": os.environ["PATH"], "VOUCHER_WORKER": "hunter2Secret"}
    ended = subprocess.run(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    warning, error = ended.stderr.splitlines()
    assert json.loads(warning)["event"] == (
        "VOUCHER_WORKER is set, but is not a setting; did you mean VOUCHER_WORKERS?"
    )
    assert error.startswith("error: Neither API_DATABASE_URL nor DATABASE_URL is set")
    assert "hunter2Secret" not in ended.stderr + ended.stdout


def test_a_client_is_told_to_close_before_the_service_ends(service: Service) -> None:
    """After SIGTERM, responses say `Connection: close`, so that no request is lost when the connection is closed."""
    session = requests.Session()
    assert "Connection" not in session.get(f"{service.url}/livez").headers
    server = Processes(service.folder).running("api")
    os.kill(server.pid, signal.SIGTERM)
    assert until(lambda: session.get(f"{service.url}/livez").headers.get("Connection") == "close", 10, every=0.01)
    assert until(lambda: not server.running, 10)
