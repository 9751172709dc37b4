"""Downloads from the real server: what clients can detect, and that stalled clients do not block others."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
import requests

from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Tables

MANY = 300_000  # 24 MB, which exceeds the kernel's buffers
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}


@dataclass(frozen=True)
class Server:
    """A server with one worker that allows two downloads at once and a pause of one second per client."""

    port: int
    rows: CleanedRows

    def get(self, path: str = "/assignments.csv", **options: object) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=30, **options)  # type: ignore[arg-type]

    def amount(self) -> int:
        answer = requests.post(f"http://127.0.0.1:{self.port}/voucher", json=CUSTOMER, timeout=5)
        return int(answer.json()["voucher_amount"])

    def stall(self, readers: ExitStack) -> bool:
        """Request a download and read only the first bytes. Return whether a slot was free."""
        reader = readers.enter_context(closing(socket.create_connection(("127.0.0.1", self.port), timeout=30)))
        reader.sendall(b"GET /assignments.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return b" 200 OK" in reader.recv(100)


@pytest.fixture(scope="module")
def server(postgres: Postgres, template: str) -> Iterator[Server]:
    postgres.create("downloads", template)
    tables = Tables(postgres.url("downloads"))
    rows = CleanedRows.published(tables)
    rows.generate(MANY)
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "tests.app.impatient:new_app"]
    options = ["--port", str(port), "--workers", "1", "--workers-kill-timeout", "5"]
    env = {**os.environ, "API_DATABASE_URL": tables.database}
    with subprocess.Popen([*command, *options], env=env) as process:
        found = Server(port, rows)
        try:
            assert until(lambda: answers(found), 30)
            yield found
        finally:
            process.terminate()


def answers(server: Server) -> bool:
    try:
        return server.get("/readyz").status_code == 200
    except requests.ConnectionError:
        return False


def test_a_whole_download_is_as_long_as_it_said(server: Server) -> None:
    """A complete download has every row and the announced length; its connection then serves the next request."""
    with requests.Session() as session:
        response = session.get(f"http://127.0.0.1:{server.port}/assignments.csv", timeout=30)
        assert response.content.count(b"\r\n") == MANY + 1
        assert len(response.content) == int(response.headers["Content-Length"])
        assert session.get(f"http://127.0.0.1:{server.port}/livez", timeout=30).status_code == 200


def test_a_download_that_is_cut_off_is_an_error_to_its_reader(server: Server) -> None:
    """If the rows are dropped during a download, the client gets an error, not a file that looks complete."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with closing(connection):
        connection.request("GET", "/assignments.csv")
        response = connection.getresponse()
        assert response.read(1000)
        server.rows.drop()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    server.rows.execute("UPDATE voucher.run SET finished_at = now(); SELECT voucher.open_partition(%(run)s)")
    server.rows.generate(MANY)
    Tables(server.rows.database).point_to(server.rows.run_id)
    assert until(lambda: answers(server), 20)


def test_stalled_readers_starve_nobody(server: Server) -> None:
    """While stalled clients hold all slots, a download is refused and vouchers are answered; later, slots are free."""
    with ExitStack() as readers:
        assert [server.stall(readers) for _ in range(2)] == [True, True]
        refusal = server.get()
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (503, "10")
        assert refusal.json()["type"] == "urn:voucher-select:too-many-downloads"
        assert server.amount() == 1000
        assert until(lambda: server.get("/assignments.csv?country=Latvia").status_code == 200, 20)


def test_readers_that_went_away_make_room(server: Server) -> None:
    """One after another, more clients than slots disconnect during a download, and each releases its slot."""
    for _ in range(6):
        with ExitStack() as readers:
            assert until(lambda readers=readers: server.stall(readers), 20)  # type: ignore[misc]


def test_who_waits_for_an_answer_is_served(server: Server) -> None:
    """Bulk requests are answered in turn: clients that wait longer than the limit for pauses still get an answer."""
    customers = "[" + ",".join([json.dumps(CUSTOMER)] * 10_000) + "]"
    url = f"http://127.0.0.1:{server.port}/vouchers?explain=1"

    def ask(_: int) -> int:
        return requests.post(url, customers, headers={"Content-Type": "application/json"}, timeout=120).status_code

    with ThreadPoolExecutor(6) as pool:
        assert [*pool.map(ask, range(6))] == [200] * 6
