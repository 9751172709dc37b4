"""The system's Chromium. `visit` opens pages and fails on console errors and on requests to other hosts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.browser.stage import Stage
from tests.conftest import missing

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
MACHINE = "net::ERR_NETWORK_CHANGED"  # a network interface was added or removed


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the source of axe-core."""
    if not AXE.exists():
        missing("axe-core is not there: `npm ci` in tests/browser brings it, which `make test` does where npm is")
    return AXE.read_text()


@pytest.fixture(scope="session")
def stage(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage.open(tmp_path_factory.mktemp("browser")) as stage:
        yield stage


class Visit:
    """Opens pages. `faults` are console errors and requests to other hosts."""

    def __init__(self, browser: Browser, stage: Stage) -> None:
        self._browser = browser
        self._stage = stage
        self._contexts: list[BrowserContext] = []
        self.requests: list[Request] = []
        self.expected: list[str] = []  # substrings of faults that do not count
        self.faults: list[str] = []

    def __call__(self, path: str = "/?country=Peru", at: Stage | None = None, **options: Any) -> Page:
        context = self._browser.new_context(**options)
        self._contexts.append(context)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        context.on("request", self._see)
        page = context.new_page()
        page.goto(f"{(at or self._stage).service.url}{path}")
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and MACHINE not in message.text:
            self._note(f"{message.text} {message.location}")

    def _note(self, fault: str) -> None:
        if not any(part in fault for part in self.expected):
            self.faults.append(fault)

    def _see(self, request: Request) -> None:
        self.requests.append(request)
        asked = urlsplit(request.url)
        if asked.scheme not in ("data", "blob") and (asked.hostname != "127.0.0.1" or asked.port == 9):
            self._note(f"asked for {request.url}")

    def end(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def visit(browser: Browser, stage: Stage) -> Iterator[Visit]:
    """Yield a Visit. Fail if a page has a console error or sends a request to another host."""
    visit = Visit(browser, stage)
    yield visit
    visit.end()
    assert not visit.faults


@pytest.fixture
def violations(axe: str) -> Callable[[Page], list[str]]:
    """Return a function that lists the violations that axe-core finds in the current state of a page."""

    def violations(page: Page) -> list[str]:
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [f"{rule['id']}: {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]

    return violations
