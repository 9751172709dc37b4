"""The page with 4, 30 and 300 countries: found by typing, the facts of the API, in nobody's way, and light."""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from dev.processes import until
from tests.browser.conftest import Visit
from tests.browser.stage import Stage

pytestmark = pytest.mark.long
Violations = Callable[[Page], list[str]]

ISO = (
    "Austria Belgium Chile Denmark Ecuador Finland Greece Hungary Iceland Jamaica Kenya Latvia Mexico Norway Oman Peru"
)
BYTES = {4: 60_000, 30: 100_000, 300: 130_000}  # of the document, without compression
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "400 %": {"viewport": {"width": 320, "height": 600}},
}


def countries(number: int) -> dict[str, int]:
    """Return names that are not in order, with their rows: the later the name, the fewer."""
    names = [*ISO.split(), *(f"Land {place:03}" for place in range(number))][:number]
    return {name: 10 * number - place for place, name in enumerate(names)}


@pytest.fixture(scope="module", params=[4, 30, 300])
def many(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Stage]]:
    """Yield a number of countries, and a service with two runs of them. They differ in every amount."""
    number = request.param
    with stage.beside(tmp_path_factory.mktemp(f"many{number}")) as beside:
        shown = {"countries": countries(number), "runner_up": (700, 2)}
        beside.publish_rows("a" * 16, **shown, uses=3, evidence=(30, 0.1, 0.3, True))
        beside.publish_rows("b" * 16, **shown, uses=4, evidence=(3, None, None, None))
        beside.query("UPDATE voucher.segment SET voucher_amount = voucher_amount + 1 WHERE run_id LIKE 'a%'")
        beside.query(
            "INSERT INTO voucher.publication (at, run_id, previous_run_id, action, actor)"
            f" VALUES (now(), '{'b' * 16}', '{'a' * 16}', 'publish', 'airflow') RETURNING 1"
        )
        asked = (requests.get(f"{beside.service.url}/readyz", timeout=10).json() for _ in repeat(None))
        assert until(lambda: all(next(asked).get("run_id") == "b" * 16 for _ in range(8)), 20)  # of both workers
        yield number, beside


@pytest.mark.parametrize("screen", SCREENS)
def test_no_number_of_countries_is_in_anybodys_way(
    visit: Visit, many: tuple[int, Stage], violations: Violations, screen: str
) -> None:
    """On each screen axe-core finds no violation, nothing scrolls sideways, and the page is not endless."""
    _, stage = many
    page = visit("/?country=Belgium", at=stage, **SCREENS[screen])
    expect(page.locator("#segments h2")).to_have_text("Segments of Belgium")
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("document.documentElement.scrollHeight") < 16_000
    visit.end()


def test_the_page_has_the_facts_of_the_api(visit: Visit, many: tuple[int, Stage]) -> None:
    """Each amount of the overview and of the chosen country is that of /segments, with its share and rows."""
    number, stage = many
    rows = requests.get(f"{stage.service.url}/segments", timeout=10).json()["segments"]
    page = visit("/?country=DK&overview=all", at=stage)
    shown = page.locator("#overview table").evaluate_all(
        "tables => tables.map(table => [...table.rows].slice(1).map(row => "
        "[row.cells[0].querySelector('a').textContent, ...[...row.cells].slice(1).map(cell => cell.querySelector('b').textContent)]))"
    )
    kinds = list(dict.fromkeys(row["segment_name"] for row in rows))
    assert len(shown) == len(kinds)
    for table, kind in zip(shown, kinds, strict=True):
        expected: dict[str, list[str]] = {}
        for row in rows:
            if row["segment_name"] == kind:
                expected.setdefault(row["country_code"], []).append(f"{row['voucher_amount']:,}")
        assert {name: amounts for name, *amounts in table} == expected
        assert [name for name, *_ in table] == sorted(expected)
        assert len(table) == number
    segments = page.locator("#segments .kind > ol > li").all_inner_texts()
    mine = [row for row in rows if row["country_code"] == "Denmark"]
    assert len(segments) == len(mine)
    for text, row in zip(segments, mine, strict=True):
        assert f"{row['voucher_amount']:,}" in text
        assert f"{row['uses']:,} of {row['rows']:,} vouchers" in text
        assert f"{100 * row['share']:.0f}\xa0%" in text
        assert f"the average of these vouchers, {round(row['mean_amount']):,}" in text
    [added] = [
        one
        for one in requests.get(f"{stage.service.url}/countries?country=DK", timeout=10).json()["countries"]
        if one["segment_name"] == kinds[0]
    ]
    expect(page.locator("#segments .adds").first).to_contain_text(
        f"One amount for all of Denmark, {added['single_amount']:,}, matches {100 * added['single_share']:.0f}\xa0%"
    )


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}])
def test_a_country_is_found_by_typing(visit: Visit, many: tuple[int, Stage], options: dict[str, Any]) -> None:
    """A name or an ISO code leads to the country; the overview and the changes put it first."""
    number, stage = many
    page = visit("/?country=Chile", at=stage, **options)
    if number > 8:
        page.locator("#find").fill("dnk")
        page.get_by_role("button", name="Show", exact=True).click()
    else:
        page.get_by_role("navigation", name="Country").get_by_role("link", name="Denmark").click()
    expect(page.locator("#segments h2")).to_have_text("Segments of Denmark")
    expect(page.locator("#overview tr.chosen").first).to_contain_text("Denmark")
    assert page.locator("#overview tbody").first.locator("tr").count() == min(number, 40)
    expect(page.locator(".latest")).to_contain_text("10 answers of Denmark changed")
    expect(page.locator("#compared table caption").first).to_contain_text("Denmark")
    expect(page.locator("#other-changes summary")).to_contain_text(f"{number - 1} other countries changed")


def test_many_countries_are_light(visit: Visit, many: tuple[int, Stage]) -> None:
    """The document stays small, because most countries of a long list are shown only if asked for."""
    number, stage = many
    page = visit("/?country=Peru" if number > 16 else "/", at=stage)
    size = len(requests.get(page.url, timeout=10).content)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    print(f"{number} countries: {size:,} bytes, first paint after {paint:.0f} ms")
    assert size < BYTES[number]
