"""The flag by OpenFeature's own client in a real browser, on a page of another origin."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.app.conftest import served
from tests.app.ofrep.conftest import CUSTOMER

pytestmark = pytest.mark.long  # npm fetches the client

ALL = "/ofrep/v1/evaluate/flags"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def shop(node: Path) -> Iterator[str]:
    """Yield the origin of a site that has the page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(node))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_of_an_allowed_origin_gets_the_voucher_and_polls_with_the_etag(
    browser: Browser,
    shop: str,
    standing_database: str,
) -> None:
    """The browser lets the page ask, read the ETag and send it: the first answer is a 200, the polls get 304."""
    with served(standing_database, VOUCHER_CORS_ORIGINS=shop) as url, browser.new_context() as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(f"{shop}/page.html")
        page.wait_for_function("() => typeof voucher === 'function'")
        answers = []
        page.on("response", lambda response: answers.append((response.request.method, response.status)))
        sent = {"targetingKey": "1"} | CUSTOMER
        with page.expect_response(lambda response: response.url == f"{url}{ALL}" and response.status == 304):
            found = page.evaluate("([url, sent]) => voucher(url, sent, 200)", [url, sent])
    assert (found["value"], found["variant"]) == (1000, "frequent_segment 0-4")
    assert ("POST", 200) in answers
    assert not faults
