"""Refusals without reading the body: every client and proxy receives them, and other requests are not affected."""

import http.client
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from dev.services.postgres import Postgres
from proofs.support.proxies import EVERY, Proxy
from tests.app.conftest import Tables, served

KEY = "a-key-of-16-or-more"
BIG = b'{"x": "' + b"x" * 1000 * 1024 + b'"}'  # exceeds all buffers, but not nginx's limit of 1 MiB
CUSTOMER = b'{"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}'
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
REFUSALS = (
    ("/voucher", JSON, 401),
    ("/nowhere", WITH_KEY | JSON, 404),
    ("/readyz", WITH_KEY | JSON, 405),
    ("/voucher", WITH_KEY | JSON, 413),
    ("/voucher", WITH_KEY | TEXT, 415),
    ("/vouchers", WITH_KEY | TEXT, 415),
    ("/voucher", WITH_KEY | JSON | {"Content-Encoding": "gzip"}, 415),
)


@pytest.fixture(scope="module")
def servers(postgres: Postgres, template: str) -> Iterator[list[int]]:
    """Yield the ports of two servers that require a key."""
    postgres.create("refusals", template)
    Tables(postgres.url("refusals")).publish()
    with ExitStack() as both:
        urls = [both.enter_context(served(postgres.url("refusals"), VOUCHER_API_KEYS=KEY)) for _ in range(2)]
        yield [int(url.rpartition(":")[2]) for url in urls]


def send(url: str, path: str, headers: dict[str, str], body: bytes = BIG) -> int:
    """Send a request over a new connection and return the status."""
    return requests.post(f"{url}{path}", data=body, headers=headers, timeout=30).status_code


@pytest.mark.parametrize("proxy", EVERY, ids=lambda proxy: proxy.name)
def test_a_refusal_arrives_through_a_proxy(servers: list[int], tmp_path: Path, proxy: Proxy) -> None:
    """The proxy passes on every refusal, every time, and still considers the servers behind it healthy."""
    with proxy.before(tmp_path, servers) as url:
        for path, headers, status in REFUSALS:
            assert Counter(send(url, path, headers) for _ in range(3)) == {status: 3}, (path, headers)
            assert Counter(send(url, "/voucher", WITH_KEY | JSON, CUSTOMER) for _ in range(2)) == {200: 2}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("mebibytes", [1, 15])
def test_a_refusal_arrives_at_a_client_that_sends_first(servers: list[int], chunked: bool, mebibytes: int) -> None:
    """A client that sends the body first receives the refusal and can reuse the connection."""
    body = b"x" * (mebibytes * 1024 * 1024)
    with closing(http.client.HTTPConnection("127.0.0.1", servers[0], timeout=30)) as connection:
        for _ in range(3):
            connection.request("POST", "/voucher", iter([body]) if chunked else body, TEXT, encode_chunked=chunked)
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:1]) == (401, b"{")


def test_a_client_that_asks_first_sends_nothing_in_vain(servers: list[int]) -> None:
    """A client that sends `Expect: 100-continue` is refused before it sends the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", servers[0], timeout=30)) as connection:
        headers = TEXT | {"Expect": "100-continue", "Content-Length": str(len(BIG))}
        connection.request("POST", "/voucher", None, headers)
        assert connection.getresponse().status == 401


NODE = """
const http = require("http"), body = Buffer.alloc(1 << 20, "x");
const once = () => new Promise((done) => {
    const options = {method: "POST", headers: {"Content-Type": "text/plain", "Content-Length": body.length}};
    const request = http.request(process.argv[1], options, (answer) => answer.resume().on("end", () => done(answer.statusCode)));
    request.on("error", (error) => done(error.code));
    request.end(body);
});
(async () => { for (let i = 0; i < 8; i++) console.log(await once()); })();
"""
JAVA = """
import java.net.URI; import java.net.http.*; import java.net.http.HttpRequest.BodyPublishers;
public class Ask {
    public static void main(String[] args) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int i = 0; i < 8; i++) {
            var request = HttpRequest.newBuilder(URI.create(args[0])).header("Content-Type", "text/plain")
                .POST(BodyPublishers.ofByteArray(new byte[1 << 20])).build();
            try { System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode()); }
            catch (java.io.IOException error) { System.out.println(error); }
        }
    }
}
"""


@pytest.mark.parametrize(("program", "suffix", "source"), [("node", ".js", NODE), ("java", ".java", JAVA)])
def test_a_refusal_arrives_at_other_languages(
    servers: list[int], tmp_path: Path, program: str, suffix: str, source: str
) -> None:
    """The standard HTTP clients of Node.js and Java receive the refusal; most libraries there build on them."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    (tmp_path / f"Ask{suffix}").write_text(source)
    url = f"http://127.0.0.1:{servers[0]}/voucher"
    command = [program, f"Ask{suffix}", url] if program == "java" else [program, "-e", source, url]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.split() == ["401"] * 8, ended.stderr
