"""Swagger in a browser, behind a proxy that strips a prefix."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from proofs.document.prefix_proxy import under_prefix
from tests.browser.stage import Stage

Visit = Callable[..., Page]


@pytest.fixture
def public(stage: Stage) -> Iterator[str]:
    with under_prefix(stage.service.url) as address:
        yield address


@pytest.mark.long
def test_swagger_tries_an_operation_where_the_document_came_from(visit: Visit, public: str) -> None:
    """Swagger sends the example of the document to the prefix; it asks for no key if none is set."""
    page = visit()
    page.goto(f"{public}/swagger/")
    operation = page.locator("#operations-Vouchers-getVoucher")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(operation.locator(".request-url")).to_contain_text(f"{public}/voucher?explain=true")
    expect(operation.locator(".live-responses-table")).to_contain_text("because")
    expect(page.get_by_role("button", name="Authorize")).to_have_count(0)
    expect(page.locator(".opblock-summary-path").last).to_be_visible()
