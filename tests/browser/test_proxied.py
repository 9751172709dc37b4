"""The page and the documentation in a browser, behind a proxy with TLS and a prefix."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import Browser, Page

from dev.services.postgres import Postgres
from proofs.support.proxies import CA, UNDER_A_PREFIX
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Tables, served

KEY = "a-key-of-16-or-more"
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}


@dataclass(frozen=True)
class Proxied:
    """A service that requires a key, behind a proxy that it trusts. `ca` is the CA of the proxy's certificate."""

    url: str
    ca: Path

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        """Send a request with the key. `path` is a link in a response: with the prefix, or relative to it."""
        headers = {"Authorization": f"Bearer {KEY}"}
        url = urljoin(f"{self.url}/", path)
        return requests.request(method, url, headers=headers, verify=self.ca, timeout=30, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def proxied(postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("caddy")
    postgres.create("proxied", template)
    tables = Tables(postgres.url("proxied"))
    tables.publish("a" * 16)
    tables.publish("b" * 16)
    CleanedRows.published(tables, "c" * 16).generate(10)
    with (
        served(tables.database, VOUCHER_API_KEYS=KEY, VOUCHER_TRUSTED_PROXIES="1") as url,
        UNDER_A_PREFIX.before(folder, [int(url.rpartition(":")[2])]) as proxy,
    ):
        yield Proxied(proxy, folder / CA)


@pytest.fixture
def page(browser: Browser, proxied: Proxied) -> Iterator[Page]:
    """Yield a page. Fail on console errors, error statuses and requests to other hosts."""
    context = browser.new_context(ignore_https_errors=True, extra_http_headers={"Authorization": f"Bearer {KEY}"})
    faults: list[str] = []
    context.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("response", lambda answer: answer.status >= 400 and faults.append(answer.url))
    context.on(
        "request", lambda asked: asked.url.startswith(("data:", "blob:", proxied.url)) or faults.append(asked.url)
    )
    yield context.new_page()
    context.close()
    assert not faults


def test_the_page_and_its_command_work_under_a_prefix(proxied: Proxied, page: Page, tmp_path: Path) -> None:
    """The page is styled and its links work under the prefix; its command, run in a shell, gets an answer over TLS."""
    page.goto(f"{proxied.url}/?country=Peru")
    assert page.evaluate("getComputedStyle(document.body).fontFamily") != page.evaluate("'serif'")
    for link in page.locator("a[href]:not([href^='data:'])").all():
        path = str(link.get_attribute("href"))
        assert path.startswith(("#", "/select/", "?")), path
        assert proxied.ask("GET", path).ok, path
    command = page.locator("pre").first.inner_text()
    assert f"curl '{proxied.url}/voucher?explain=true'" in command
    environ = os.environ | {"VOUCHER_API_KEY": KEY, "CURL_CA_BUNDLE": str(proxied.ca)}
    pasted = subprocess.run(
        ["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path
    )
    assert json.loads(pasted.stdout)["voucher_amount"] == 1200  # the example has 15 orders
    page.locator("#try button[type=submit]").click()
    page.wait_for_url(f"{proxied.url}/?**")


@pytest.mark.parametrize("viewer", ["redoc", "swagger"])
def test_the_documentation_works_under_a_prefix(proxied: Proxied, page: Page, viewer: str) -> None:
    """The documentation works with and without a trailing slash."""
    for slash in ("", "/"):
        page.goto(f"{proxied.url}/{viewer}{slash}")
        page.get_by_text("Voucher Select").first.wait_for()


def test_what_an_answer_links_to_has_the_prefix(proxied: Proxied) -> None:
    """The link to the next page of /runs and the redirect of the documentation work under the prefix."""
    runs = proxied.ask("GET", "runs?limit=1").json()
    assert proxied.ask("GET", runs["next"]).json()["runs"][0]["run_id"] == "b" * 16
    assert proxied.ask("GET", "redoc/").url == f"{proxied.url}/redoc"
    assert proxied.ask("POST", "voucher", json=CUSTOMER).json() == {"voucher_amount": 1000}
