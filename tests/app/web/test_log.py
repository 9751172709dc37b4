"""The log lines on stderr."""

import json
import os
import pty
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from tests.app.conftest import Ask, Tables, answers, ask_often, failing, served, start, stop

Capture = pytest.CaptureFixture[str]


def lines(capfd: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_request_is_one_line_without_customer_data(standing: Ask, capfd: Capture) -> None:
    """A request is one line with method, path, status, milliseconds and run, but without any value of the customer."""
    standing(customer_id="somebody", last_order_ts="2018-05-03")
    standing(country_code="Atlantis", customer_id="somebody")
    standing("/voucher?country_code=Peru", customer_id="somebody")
    found = lines(capfd)
    assert [(line["method"], line["path"], line["status"]) for line in found] == [
        ("POST", "/voucher", 200),
        ("POST", "/voucher", 404),
        ("POST", "/voucher", 200),
    ]
    assert [line["run"] for line in found] == ["a" * 16, None, "a" * 16]
    assert all(line["ms"] >= 0 for line in found)
    told = json.dumps([{name: value for name, value in line.items() if name != "timestamp"} for line in found])
    for text in ("somebody", "Atlantis", "Peru", "2018-05-03"):
        assert text not in told


@pytest.mark.parametrize("path", ["/vou\ncher", '/"}{', "/\x00\x1b[31m", "/São Tomé", "/" + "x" * 5000])
def test_a_path_never_breaks_the_line(standing: Ask, capfd: Capture, path: str) -> None:
    """Each request is one line of JSON, short enough for a single write."""
    assert standing.client.get(quote(path)).status_code == 404
    text = capfd.readouterr().err
    assert text.count("\n") == 1
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert len(text) < 4096, "longer ones may mix with those of another worker in a pipe"
    assert json.loads(text)["path"].startswith(path[:3].encode().decode("latin-1"))


@pytest.mark.parametrize("path", ["/voucher", "/segmentation-voucher/", "/nowhere"])
def test_the_callers_request_id_is_kept(standing: Ask, capfd: Capture, path: str) -> None:
    """The log line and the response have the request id that the client sent."""
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    answer = standing.client.post(path, json=customer, headers={"X-Request-Id": "shop-17.a_b"})
    assert answer.headers.getlist("X-Request-Id") == ["shop-17.a_b"]
    assert [line["request_id"] for line in lines(capfd)] == ["shop-17.a_b"]


@pytest.mark.parametrize("given", [None, "", "a b", "a,b", "é", '"', "x" * 65, "a\tb"])
def test_any_other_request_has_an_id_of_its_own(standing: Ask, capfd: Capture, given: str | None) -> None:
    """A missing or unsafe request id is replaced by a new one."""
    environ = {} if given is None else {"HTTP_X_REQUEST_ID": given}
    answers = [standing.client.get("/livez", environ_overrides=environ) for _ in range(2)]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == 2
    assert all(len(request_id) == 16 and int(request_id, 16) >= 0 for request_id in ids)
    assert [line["request_id"] for line in lines(capfd)] == ids


@pytest.mark.parametrize("message", ["out of cheese", "half a pair: \ud83d", "a terminal's: \x9b31m"])
def test_an_error_bears_the_id_of_its_request(database: str, capfd: Capture, message: str) -> None:
    """The traceback of a 500 is logged with its request id, even if the error message has unsafe characters."""

    def broken() -> str:
        raise RuntimeError(message)

    app = start(database)
    try:
        app.add_url_rule("/broken", view_func=broken)
        answer = app.test_client().get("/broken")
    finally:
        stop(app)
    error, request = lines(capfd)[-2:]
    assert (answer.status_code, request["status"]) == (500, 500)
    assert f"RuntimeError: {message}" in error["exception"]
    assert error["request_id"] == request["request_id"] == answer.headers["X-Request-Id"]


def test_a_full_disk_costs_lines_and_no_answers(database: str, tables: Tables) -> None:
    """On a full disk, requests are answered without log lines, and readiness reports `log`."""
    tables.publish()
    with open("/dev/full", "wb", buffering=0) as full, served(database, stderr=full) as url:  # noqa: PTH123
        assert ask_often(url) == {200: 600}
        assert "log" in failing(url)


def test_a_log_whose_reader_has_gone_costs_no_answers(database: str, tables: Tables) -> None:
    tables.publish()
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as log, served(database, stderr=log) as url:
        os.close(reading)
        assert ask_often(url) == {200: 600}
        assert "log" in failing(url)


def unread_pipe() -> tuple[int, int]:
    return os.pipe()


def stopped_terminal() -> tuple[int, int]:
    """Return a terminal that is not read, as after Ctrl-S."""
    return pty.openpty()


def unread_socket() -> tuple[int, int]:
    """Return a socket pair, as systemd provides for the log."""
    reading, writing = socket.socketpair()
    return reading.detach(), writing.detach()


@pytest.mark.parametrize(
    "made", [stopped_terminal, *(pytest.param(each, marks=pytest.mark.long) for each in (unread_pipe, unread_socket))]
)
def test_a_log_that_nobody_reads_costs_no_answers(
    database: str, tables: Tables, made: Callable[[], tuple[int, int]]
) -> None:
    """If the log is not read, requests are answered; later lines are whole, and one has the number of lost lines."""
    tables.publish()
    reading, writing = made()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as log, served(database, stderr=log) as url:
        assert ask_often(url) == {200: 600}
        assert "log" in failing(url)
        os.set_blocking(reader.fileno(), False)
        found = read_all(reader.fileno())
        assert answers(url)
        assert "log" not in failing(url)
        told = [line for line in (found + read_all(reader.fileno())).splitlines() if line.startswith(b"{")]
        lines = [json.loads(line) for line in told if line.endswith(b"}")]
    lost = sum(line["lines"] for line in lines if line["event"] == "log lines lost")
    assert lost
    assert sum(line.get("path") == "/voucher" for line in lines) + lost >= 600


def read_all(number: int) -> bytes:
    found = b""
    with suppress(BlockingIOError):
        while more := os.read(number, 1 << 16):
            found += more
    return found
