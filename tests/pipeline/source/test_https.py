"""Parts on the web: servers that behave in odd ways, and addresses that contain secrets."""

import gzip
import http.server
import itertools
import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dev.ports import free_port
from pipeline import run
from pipeline.settings import Settings
from pipeline.source.copies import inspect, local_copy
from pipeline.source.parts import list_parts
from pipeline.source.s3 import SourceError, SourceUnavailable
from shared.addresses import redact
from tests.pipeline.conftest import history

SECRET = "hunter2Secret"


@dataclass
class Server:
    """A server for one test: its answers by method, and the requests that it received."""

    address: str = ""
    answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    """Start a server that answers GET and HEAD with the functions in `answers`; yield it."""
    made = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append((self.command, self.path, dict(self.headers)))
            made.answers[self.command](self)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        made.address = f"http://127.0.0.1:{listening.server_port}"
        yield made
        listening.shutdown()


@pytest.fixture
def content(written: Callable[..., Path]) -> bytes:
    return written(history({}, {})).read_bytes()


def send(content: bytes, *headers: tuple[str, str], status: int = 200, cut: bool = False) -> Callable[..., None]:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status, SECRET)
        for name, value in headers or (("Content-Length", str(len(content))),):
            request.send_header(name, value)
        request.send_header("Connection", "close")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content[: len(content) // 2] if cut else content)
        request.close_connection = True

    return answer


def drop(request: http.server.BaseHTTPRequestHandler) -> None:
    request.close_connection = True


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 500, 501, 503, 0])
def test_a_server_that_refuses_head_is_asked_by_get(server: Server, content: bytes, status: int) -> None:
    """If a server refuses HEAD, as for links signed for GET, or drops the connection (0), GET is used instead."""
    server.answers = {"HEAD": send(b"", status=status) if status else drop, "GET": send(content)}
    (part,) = list_parts(f"{server.address}/history.parquet")
    assert (part.size, inspect(part).rows) == (len(content), 2)


def test_head_is_refused_behind_a_redirect(server: Server, content: bytes) -> None:
    """If an address redirects to a signed link that refuses HEAD, GET is used, and the signature is not shown."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if "?" not in request.path:
            send(b"", ("Location", f"/signed?X-Amz-Signature={SECRET}"), ("Content-Length", "0"), status=302)(request)
        elif request.command == "HEAD":
            send(b"", status=403)(request)
        else:
            send(content)(request)

    server.answers = {"HEAD": answer, "GET": answer}
    (part,) = list_parts(f"{server.address}/history.parquet")
    assert SECRET not in repr(inspect(part))


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ((("Content-Length", "{length}"), ("Content-Length", "{length}")), True),
        ((("Content-Length", "{length}"), ("ETag", 'W/"weak"')), True),
        ((("X-Other", "1"),), False),
    ],
)
def test_odd_headers_are_read(server: Server, content: bytes, headers: Any, size: bool) -> None:
    """Two equal lengths, a weak ETag and a missing length are accepted."""
    filled = [(name, value.replace("{length}", str(len(content)))) for name, value in headers]
    server.answers = dict.fromkeys(("HEAD", "GET"), send(content, *filled))
    (part,) = list_parts(f"{server.address}/history.parquet")
    assert part.size == (len(content) if size else 0)
    assert (inspect(part).rows, inspect(part).size) == (2, len(content))


def test_an_etag_that_each_server_of_a_balancer_makes_is_no_condition(server: Server, content: bytes) -> None:
    """The SHA-256, not the ETag, decides whether the bytes are the planned ones, as ETags may differ by server."""
    numbers = itertools.count()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        refused = "If-Match" in request.headers
        headers = ("Content-Length", str(len(content))), ("ETag", f'"{next(numbers)}"')
        send(b"" if refused else content, *headers, status=412 if refused else 200)(request)

    server.answers = {"HEAD": answer, "GET": answer}
    (part,) = list_parts(f"{server.address}/history.parquet")
    assert part.etag == '"0"'
    planned = inspect(part)
    assert planned.etag == '"1"'  # the ETag that came with the bytes
    with local_copy(planned) as path:
        assert path.read_bytes() == content
    with pytest.raises(SourceError, match="changed since the run"), local_copy(replace(planned, sha256="0" * 64)):
        pass


@pytest.mark.parametrize("kind", ["asked for", "compressed", "only called so"])
def test_the_bytes_are_those_of_the_file(server: Server, content: bytes, kind: str) -> None:
    """The bytes are the file's, whether the server compresses them or only declares a file as compressed."""
    sent = gzip.compress(content) if kind == "compressed" else content
    encoded = [("Content-Encoding", "gzip")] if kind != "asked for" else []
    server.answers = dict.fromkeys(("HEAD", "GET"), send(sent, ("Content-Length", str(len(sent))), *encoded))
    (part,) = list_parts(f"{server.address}/data.parquet.gzip")
    with local_copy(part) as path:
        assert path.read_bytes() == content
    assert {headers["Accept-Encoding"] for _, _, headers in server.asked} == {"identity"}


def test_a_body_that_is_cut_off_is_fetched_again(server: Server, content: bytes) -> None:
    """An incomplete body is fetched again twice; then the step ends with a retryable error."""
    left = itertools.count(-2)

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        send(content, cut=next(left) != 0)(request)

    server.answers = {"HEAD": send(content), "GET": answer}
    (part,) = list_parts(f"{server.address}/history.parquet")
    assert inspect(part).rows == 2
    with pytest.raises(SourceUnavailable, match="can't be fetched"):
        inspect(part)
    assert next(left) == 4


@pytest.mark.parametrize(
    ("status", "retryable", "message"),
    [
        (
            401,
            False,
            "answered 401 Unauthorized; check VOUCHER_SOURCE: a signed link or a token in it may have expired",
        ),
        (403, False, "answered 403 Forbidden; check VOUCHER_SOURCE: a signed link"),
        (404, False, "answered 404 Not Found; check VOUCHER_SOURCE"),
        (410, False, "answered 410 Gone"),
        (429, True, "answered 429 Too Many Requests"),
        (500, True, "answered 500 Internal Server Error"),
        (503, True, "answered 503 Service Unavailable"),
        (599, True, "answered 599"),
    ],
)
def test_what_a_server_refuses_is_said_in_our_words(server: Server, status: int, retryable: bool, message: str) -> None:
    """The error describes the status in fixed words, because the server's own reason may contain anything."""
    server.answers = dict.fromkeys(("HEAD", "GET"), send(b"", status=status))
    with pytest.raises(SourceError, match=message) as error:
        list_parts(f"{server.address}/{SECRET}/history.parquet?sig={SECRET}")
    assert error.value.retryable == retryable
    assert SECRET not in str(error.value)
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    "address",
    [
        *(f"http:/host/{SECRET}", f"http://[::1/{SECRET}", f"http://user:{SECRET}@host:port/x"),
        *(f"http://user:{SECRET}@[bad/x", f"https://user:a/{SECRET}@127.0.0.1/x"),
        *(f"http://{'a' * 70}.com/{SECRET}", f"HTTP://user:{SECRET}@ex ample/"),
        *(f"https://user:{SECRET}@127.0.0.1:99999/", f"https://127.0.0.1:${{PORT}}/{SECRET}"),
        *(f"ftp://user:{SECRET}@host/x.parquet", f"file://user:{SECRET}@host/x.parquet"),
        *(f"gs://user:{SECRET}@bucket/x.parquet",),
    ],
)
def test_what_is_no_address_is_final_and_not_shown(address: str) -> None:
    """The error for an invalid address shows no secret and is not retryable, because a retry would give the same."""
    with pytest.raises(SourceError, match=r"VOUCHER_SOURCE|write file:///path") as error:
        list_parts(address)
    assert not error.value.retryable
    assert SECRET not in "".join(traceback.format_exception(error.value, limit=0))


def test_a_server_that_leads_in_circles_is_final(server: Server) -> None:
    """Endless redirects are not retryable, because a retry would be redirected again."""
    answer = send(b"", ("Location", f"/again?sig={SECRET}"), ("Content-Length", "0"), status=302)
    server.answers = {"HEAD": answer, "GET": answer}
    with pytest.raises(SourceError, match="redirects too often") as error:
        list_parts(f"{server.address}/history.parquet")
    assert not error.value.retryable


def test_no_secret_of_an_address_is_on_record_or_in_the_log(
    server: Server,
    content: bytes,
    settings: Callable[..., Settings],
    query: Callable[..., list[Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No secret of an address is recorded or logged; a link that is signed again is read again, as the same part."""
    caplog.set_level(logging.DEBUG, "pipeline")
    server.answers = dict.fromkeys(
        ("HEAD", "GET"), send(content, ("Content-Length", str(len(content))), ("ETag", '"e"'))
    )
    source = server.address.replace("//", f"//user:{SECRET}@") + f"/{SECRET}/history.parquet?X-Amz-Signature="
    first = run.run(settings(f"{source}{SECRET}1"), "test")
    assert run.run(settings(f"{source}{SECRET}2"), "test") == first
    assert {path.rpartition("=")[2] for _, path, _ in server.asked} == {f"{SECRET}1", f"{SECRET}2"}
    (on_record,) = query("SELECT uri, etag FROM voucher.part")
    assert on_record == (redact(source), f"sha256:{inspect(list_parts(f'{source}1')[0]).sha256}")
    tables = query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'voucher'::regnamespace AND relkind IN ('r', 'p')"
    )
    for (table,) in tables:
        assert SECRET not in str(query(f"SELECT * FROM voucher.{table}")), table
    assert SECRET not in caplog.text
    assert "hunter2" not in caplog.text


def test_two_files_of_one_server_are_two_parts(server: Server, content: bytes) -> None:
    """The recorded address has a few digits of the path's hash, so that a recorded ETag belongs to one file."""
    server.answers = dict.fromkeys(("HEAD", "GET"), send(content, ("Content-Length", "1"), ("ETag", '"e"')))
    uris = [list_parts(f"{server.address}/{name}")[0].uri for name in ("a.parquet", "b.parquet", "a.parquet?x=1")]
    assert uris[0] == uris[2] != uris[1]
    assert [list_parts(f"{server.address}/{name}")[0].etag for name in ("a.parquet", "a.parquet?x=1")] == ['"e"', ""]


def test_another_process_knows_the_address_by_its_own_environment(
    server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is sent to a worker has no secret; a worker that doesn't know the address says what to set."""
    server.answers = dict.fromkeys(("HEAD", "GET"), send(content))
    source = f"{server.address}/{SECRET}/history.parquet?sig={SECRET}"
    (part,) = list_parts(source)
    sent = pickle.dumps(part)
    assert SECRET.encode() not in sent
    arrived = pickle.loads(sent)
    assert (arrived, SECRET in repr(part)) == (part, False)
    for environment in ("", f"{server.address}/other.parquet", "s3://bucket/key"):
        monkeypatch.setenv("VOUCHER_SOURCE", environment)
        with pytest.raises(SourceError, match=r"its complete address is unknown here: .* set VOUCHER_SOURCE to it"):
            inspect(arrived)
    monkeypatch.setenv("VOUCHER_SOURCE", f" {source}\n")
    assert inspect(arrived).rows == 2


def test_a_run_of_another_address_says_so_when_it_is_loaded(
    server: Server, content: bytes, settings: Callable[..., Settings]
) -> None:
    """`load` refuses a run of another address, because the complete address is in the settings only."""
    server.answers = dict.fromkeys(("HEAD", "GET"), send(content))
    run_id = run.plan(settings(f"{server.address}/a.parquet"))
    with pytest.raises(SourceError, match="its complete address is unknown here"):
        run.load(settings(f"{server.address}/b.parquet"), run_id)
    run.load(settings(f"{server.address}/a.parquet"), run_id)


def test_a_server_that_is_away_may_come_back() -> None:
    """The error for a server that is down is retryable and shows no secret."""
    with pytest.raises(SourceUnavailable, match=r"can't be fetched \(ConnectionError\)") as error:
        list_parts(f"http://user:{SECRET}@127.0.0.1:{free_port()}/history.parquet")
    assert SECRET not in str(error.value)
