"""Files of customers under the server: how they arrive, clients that go away, and a disk without space."""

import http.client
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.settings import CAMPAIGNS, MAX_CAMPAIGN_BYTES
from dev.processes import until
from tests.app.conftest import full_disk, served
from tests.app.voucher.campaign.conftest import GOOD, HEADER

CSV = {"Content-Type": "text/csv"}
LINES = 20_000
# Its answer is more than all buffers hold.
MANY = "\n".join([f"{HEADER},note", *[f"{GOOD},{'x' * 400}"] * LINES]).encode()


@pytest.fixture(scope="module")
def url(standing_database: str) -> Iterator[str]:
    """Yield the address of a service with one worker."""
    with served(standing_database) as url:
        yield url


def status(url: str, body: bytes = HEADER.encode()) -> int:
    return requests.post(f"{url}/vouchers.csv", data=body, headers=CSV, timeout=30).status_code


def begin(url: str, request: bytes) -> socket.socket:
    """Send a part of a request and return the connection."""
    client = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30)
    client.sendall(request)
    return client


def unfinished(url: str) -> socket.socket:
    """Begin an upload that holds a place, which an earlier answer may still hold for a moment."""
    for _ in range(50):
        client = begin(url, head(10**6) + HEADER.encode())
        if not select.select([client], [], [], 0.2)[0]:
            return client
        client.close()  # it got a 503
    raise AssertionError("no place became free")


def head(length: int) -> bytes:
    lines = [
        "POST /vouchers HTTP/1.1",
        "Host: localhost",
        "Content-Type: text/csv",
        f"Content-Length: {length}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_may_arrive_in_chunks(url: str, chunked: bool) -> None:
    """A file is answered completely, with or without a known length, although the client first sends all of it."""
    data = (MANY[at : at + 100_001] for at in range(0, len(MANY), 100_001)) if chunked else MANY
    response = requests.post(f"{url}/vouchers", data=data, headers=CSV, timeout=60)
    assert response.content.count(b"x,1000,\r\n") == LINES
    assert response.headers["Content-Length"] == str(len(response.content))


def test_a_client_that_goes_away_frees_its_place(url: str) -> None:
    """All places are taken by unfinished uploads, the next file gets a 503, and is answered when they break off."""
    clients = [unfinished(url) for _ in range(CAMPAIGNS)]
    assert status(url) == http.client.SERVICE_UNAVAILABLE
    assert requests.get(f"{url}/readyz", timeout=5).status_code == http.client.OK
    for client in clients:
        client.close()
    assert until(lambda: status(url) == http.client.OK, 10)


def test_a_reader_that_goes_away_frees_its_place(url: str) -> None:
    """A client that closes the connection in the middle of the answer frees its place too."""
    clients = []
    while len(clients) < CAMPAIGNS:
        client = begin(url, head(len(MANY)) + MANY)
        if client.recv(12) == b"HTTP/1.1 200":  # an earlier answer may still hold its place for a moment
            clients.append(client)
    assert status(url) == http.client.SERVICE_UNAVAILABLE
    for client in clients:
        client.close()
    assert until(lambda: status(url) == http.client.OK, 10)


def test_a_file_that_is_too_large_is_refused_at_once(url: str) -> None:
    """A file over the limit gets a 413 that names it, before it is received."""
    with begin(url, head(MAX_CAMPAIGN_BYTES + 1).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")) as client:
        response = http.client.HTTPResponse(client)
        response.begin()
        assert (response.status, str(MAX_CAMPAIGN_BYTES) in response.read().decode()) == (413, True)


@pytest.mark.long  # the service starts and stops
def test_a_full_disk_is_a_problem(tmp_path: Path, standing_database: str) -> None:
    """Without space for a file or its answer, the response is 507, and single customers are answered."""
    log = tmp_path / "log"
    folder = tmp_path / "full"
    folder.mkdir()
    with (
        log.open("wb") as file,
        served(
            standing_database,
            prefix=full_disk(folder),
            stderr=file,
            TMPDIR=str(folder),
            PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
        ) as url,
    ):
        response = requests.post(f"{url}/vouchers", data=f"{HEADER}\n{GOOD}", headers=CSV, timeout=30)
        assert (response.status_code, response.json()["type"]) == (507, "urn:voucher-select:no-space")
        form = requests.post(f"{url}/campaign", files={"file": ("list.csv", MANY)}, timeout=30)
        assert (form.status_code, "No space for the file" in form.text) == (507, True)
        customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
        assert requests.post(f"{url}/voucher", json=customer, timeout=5).json() == {"voucher_amount": 1000}
    assert "No space left on device" in log.read_text()
    assert "Traceback" not in log.read_text()
