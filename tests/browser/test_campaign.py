"""The page's form for a file of customers, in a real Chromium: a file in, a file out."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

Violations = Callable[[Page], list[str]]

LIST = "country_code;total_orders;note\r\nPeru;3;=1+1\r\nAtlantis;3;\r\n"


def choose(page: Page, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    page.get_by_label("File of customers").set_input_files(path)


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}])
def test_a_file_in_and_a_file_out(visit: Visit, tmp_path: Path, options: dict[str, Any]) -> None:
    """A list as Excel writes it comes back under its own name, with amounts, and a problem in one line."""
    page = visit(**options)
    form = page.locator("#campaign")
    choose(page, tmp_path / "lista de mayo.csv", b"\xef\xbb\xbf" + LIST.encode())
    form.locator("[name=segment_name]").select_option("frequent_segment")
    form.get_by_label("explain each amount").uncheck()
    with page.expect_download() as waiting:
        form.get_by_role("button", name="Get the vouchers").click()
    assert waiting.value.suggested_filename == "lista de mayo-vouchers.csv"
    header, peru, atlantis = waiting.value.path().read_bytes().decode("utf-8-sig").splitlines()
    assert header == "country_code;total_orders;note;voucher_amount;problem"
    assert peru.startswith("Peru;3;=1+1;") and peru.removeprefix("Peru;3;=1+1;").removesuffix(";").isdecimal()
    assert atlantis.startswith("Atlantis;3;;;country_code 'Atlantis' is unknown")


def test_the_example_file_is_answered(visit: Visit, tmp_path: Path) -> None:
    """The example file of the form, sent as it is, gets an amount, and the explanation that the form adds."""
    page = visit()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="An example file").click()
    choose(page, tmp_path / waiting.value.suggested_filename, waiting.value.path().read_bytes())
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Get the vouchers").click()
    assert waiting.value.suggested_filename == "customers-vouchers.csv"
    header, line = csv.reader(waiting.value.path().read_text("utf-8-sig").splitlines())
    answer = dict(zip(header, line, strict=True))
    assert answer["voucher_amount"].isdecimal()
    assert answer["because"].startswith("15 orders, so segment ")


def test_a_problem_is_told_beside_the_form(visit: Visit, tmp_path: Path, violations: Violations) -> None:
    """A file without a column leads to an accessible page that says so, where the next attempt succeeds."""
    visit.expected.append("422")
    page = visit()
    choose(page, tmp_path / "list.csv", LIST.encode())
    page.locator("#campaign [name=segment_name]").select_option("")
    page.get_by_role("button", name="Get the vouchers").click()
    expect(page.get_by_role("alert")).to_contain_text("The file has no column segment_name. The file has: country_code")
    assert violations(page) == []
    choose(page, tmp_path / "list.csv", LIST.encode())
    page.locator("#campaign [name=segment_name]").select_option("frequent_segment")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Get the vouchers").click()
    assert waiting.value.suggested_filename == "list-vouchers.csv"


@pytest.mark.long  # the page asks every 3 s
def test_a_chosen_file_outlives_a_new_version_of_the_page(visit: Visit, tmp_path: Path) -> None:
    """When the page updates itself, the chosen file and options stay."""
    page = visit()
    choose(page, tmp_path / "list.csv", LIST.encode())
    options = page.locator("#campaign [type=checkbox]")
    before = [option.is_checked() for option in options.all()]
    for option in options.all():
        option.click()
    page.evaluate("document.getElementById('page').dataset.state = 'an older one'")
    expect(page.locator("#page")).not_to_have_attribute("data-state", "an older one", timeout=20_000)
    assert page.locator("#campaign-file").evaluate("field => field.files[0].name") == "list.csv"
    assert [option.is_checked() for option in options.all()] == [not checked for checked in before]
