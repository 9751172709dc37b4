"""The pages and the documentation in a browser, behind a proxy with TLS and a prefix, or two in a row."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import Browser, Page

from dev.services.postgres import Postgres
from proofs.support.proxies import CA, CADDY, UNDER_A_PREFIX
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Tables, served

KEY = "a-key-of-16-or-more"
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
SECOND = replace(CADDY, server=f"{CADDY.server}\ntrusted_proxies private_ranges")  # hands on the headers of the first


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
def published(postgres: Postgres, template: str) -> str:
    """Return the URL of a database with a run of each kind: `a` was live, `b` would change all, `c` is live."""
    postgres.create("proxied", template)
    tables = Tables(postgres.url("proxied"))
    CleanedRows.published(tables, "a" * 16)
    other = {"frequent_segment": ("total_orders", [("0+", 0, None, 7)])}
    tables.publish("b" * 16, status="loading", countries={f"Land {number}": 9 for number in range(7)}, kinds=other)
    CleanedRows.published(tables, "c" * 16).generate(10)
    return tables.database


@contextmanager
def behind(database: str, proxies: int, folder: Path) -> Iterator[Proxied]:
    """Start the service behind one or two proxies, all of which it trusts."""
    second = folder / "second"
    second.mkdir()
    with ExitStack() as running:
        url = running.enter_context(served(database, VOUCHER_API_KEYS=KEY, VOUCHER_TRUSTED_PROXIES=str(proxies)))
        if proxies == 2:
            url = running.enter_context(SECOND.before(second, [int(url.rpartition(":")[2])]))
        url = running.enter_context(UNDER_A_PREFIX.before(folder, [int(url.rpartition(":")[2])]))
        yield Proxied(url, folder / CA)


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.long)])
def proxied(
    published: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    with behind(published, request.param, tmp_path_factory.mktemp("caddy")) as found:
        yield found


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


def follow_links(proxied: Proxied, page: Page) -> None:
    """Assert that every link is under the prefix, downloads too, and that something is there."""
    links = page.locator("a[href]:not([href^='data:'])").evaluate_all("links => links.map(link => link.href)")
    assert f"{proxied.url}/" in links
    for link in {str(one).partition("#")[0] for one in links}:
        assert link.startswith(f"{proxied.url}/"), link
        assert proxied.ask("GET", link).ok, link


def test_the_page_and_its_command_work_under_a_prefix(proxied: Proxied, page: Page, tmp_path: Path) -> None:
    """The page is styled and its links work under the prefix; its command, run in a shell, gets an answer over TLS."""
    page.goto(f"{proxied.url}/?country=Peru")
    assert page.evaluate("getComputedStyle(document.body).fontFamily") != page.evaluate("'serif'")
    follow_links(proxied, page)
    command = page.locator("pre").first.inner_text()
    assert f"curl '{proxied.url}/voucher?explain=true'" in command
    environ = os.environ | {"VOUCHER_API_KEY": KEY, "CURL_CA_BUNDLE": str(proxied.ca)}
    pasted = subprocess.run(
        ["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path
    )
    assert json.loads(pasted.stdout)["voucher_amount"] == 1200  # the example has 15 orders
    page.locator("#try button[type=submit]").click()
    page.wait_for_url(f"{proxied.url}/?**")


@pytest.mark.parametrize("path", ["history", f"history/{'a' * 8}", f"history/{'b' * 16}", "?country=Peru&old=aaaaaaaa"])
def test_the_pages_of_runs_work_under_a_prefix(proxied: Proxied, page: Page, path: str) -> None:
    """The links of the pages of runs, of a comparison and of its countries are under the prefix and lead somewhere."""
    page.goto(f"{proxied.url}/{path}")
    assert page.get_by_role("link", name="All runs").count() > 0
    follow_links(proxied, page)


def test_a_list_is_answered_under_a_prefix(proxied: Proxied, page: Page, tmp_path: Path) -> None:
    """The form for a list sends it to the prefix, its address leads back to the form, and the example is answered."""
    page.goto(f"{proxied.url}/")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="An example file").click()
    example = tmp_path / "customers.csv"
    waiting.value.save_as(example)
    page.get_by_label("File of customers").set_input_files(example)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Get the vouchers").click()
    assert waiting.value.url == f"{proxied.url}/campaign"
    assert "voucher_amount" in waiting.value.path().read_text("utf-8-sig")
    page.goto(f"{proxied.url}/campaign")
    assert page.url == f"{proxied.url}/#campaign"


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
    document = proxied.ask("GET", "openapi.json")
    assert urljoin(document.url, f"{document.json()['servers'][0]['url']}/voucher") == f"{proxied.url}/voucher"
    assert proxied.ask("GET", "redoc/").url == f"{proxied.url}/redoc"
    assert proxied.ask("POST", "voucher", json=CUSTOMER).json() == {"voucher_amount": 1000}
