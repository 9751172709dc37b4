"""The page in a real Chromium, with a running service and runs that the pipeline publishes."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.app.conftest import KINDS as USUAL
from tests.app.outcomes import EFFECTS, POLICIES, draws
from tests.browser.conftest import Visit
from tests.browser.stage import AIRFLOW, EVIL, TODAY, Stage

Violations = Callable[[Page], list[str]]

SECONDS = 20_000  # timeout in milliseconds; the page polls every 3 s
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
DARK = {"color_scheme": "dark"}
KINDS = {
    "frequent_segment": ({"total_orders": 3}, "3 orders, so segment 0-4"),
    "recency_segment": ({"last_order_ts": "2020-05-22"}, f"10 days from the last order to {TODAY}, so segment 0-29"),
}


def test_any_two_runs_are_compared(visit: Visit) -> None:
    """Two runs from the lists are compared, and the URL names them; a run does not differ from itself."""
    page = visit("/?country=Latvia")
    first = page.locator("#old").locator("option").first.get_attribute("value")
    page.locator("#old").select_option(first)
    page.locator("#new").select_option(first)
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile(f"country=Latvia.*old={first}&new={first}|old={first}&new={first}"))
    expect(page.locator("#compared")).to_contain_text("Both runs have the same answers.")
    expect(page.locator("#segments h2")).to_have_text("Segments of Latvia")


@pytest.mark.parametrize(("kind", "options"), [*zip(KINDS, [{}, {"java_script_enabled": False}], strict=True)])
def test_a_tried_customer_of_each_kind(visit: Visit, stage: Stage, kind: str, options: dict[str, Any]) -> None:
    """The submitted form shows the amount and sentence of the API, and its URL shows them again on reload."""
    fields, said = KINDS[kind]
    page = visit(**options)
    page.locator(f"input[value={kind}]").check()
    for name, value in fields.items():
        page.locator(f"#{name}").fill(str(value))
    page.locator("#try button[type=submit]").click()
    expect(page.locator(".because")).to_contain_text(said)
    expect(page).to_have_url(re.compile(rf"\?country=Peru&.*segment_name={kind}.*#try$"))
    customer = {"country_code": "Peru", "segment_name": kind} | fields
    answer = requests.post(f"{stage.service.url}/voucher?explain=true", json=customer, timeout=10).json()
    expect(page.locator(".because")).to_have_text(answer["because"])
    expect(page.locator(".voucher")).to_contain_text(f"{answer['voucher_amount']:,}")
    page.reload()
    expect(page.locator(".because")).to_have_text(answer["because"])


def test_only_the_field_that_counts_is_shown(visit: Visit) -> None:
    """The form only shows the field of the selected kind."""
    page = visit()
    expect(page.locator("#total_orders")).to_be_visible()
    expect(page.locator("#last_order_ts")).to_be_hidden()
    page.get_by_role("radio", name="Days since the last order").check()
    expect(page.locator("#total_orders")).to_be_hidden()
    expect(page.locator("#last_order_ts")).to_be_visible()


def test_the_country_switch_keeps_its_place_in_the_address(visit: Visit) -> None:
    """The link to another country keeps the tried customer, and the browser can go back."""
    page = visit("/?country=Peru&segment_name=frequent_segment&total_orders=3")
    page.get_by_role("navigation", name="Country").get_by_role("link", name="Latvia").click()
    expect(page).to_have_url(re.compile(r"country=Latvia&segment_name=frequent_segment&total_orders=3"))
    expect(page.locator("#segments h2")).to_have_text("Segments of Latvia")
    expect(page.locator("#country")).to_have_value("Latvia")
    expect(page.locator(".because")).to_contain_text("3 orders")
    page.go_back()
    expect(page.locator("#segments h2")).to_have_text("Segments of Peru")


def test_the_keyboard_is_enough(visit: Visit) -> None:
    """Tab reaches the skip link and the form, Enter submits it, and the focus is always visible."""
    page = visit()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "total_orders":
            break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    expect(page.locator(".because")).to_contain_text("20 orders, so segment 14-37: 2640 was used in 6 of 12")


def test_the_command_is_copied_and_works(visit: Visit) -> None:
    """The button copies the command to the clipboard; run in a shell, it gives the answer of the page."""
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command == page.locator("#command").text_content()
    if shutil.which("curl"):
        said = subprocess.run(["sh", "-c", f"{command} --silent"], capture_output=True, text=True, timeout=30).stdout
        assert page.locator(".because").text_content() in said


def test_a_publish_appears_by_itself(visit: Visit, stage: Stage) -> None:
    """A new run appears without a restart or reload; typed values, the focus and the scroll position stay."""
    page = visit()
    before = str(stage.query("SELECT run_id FROM voucher.current_run"))
    page.evaluate("window.kept = true")
    page.locator("#total_orders").fill("4")
    page.locator("#new").select_option(index=1)
    chosen = page.locator("#new").input_value()
    page.locator("#total_orders").focus()
    top = page.evaluate("document.getElementById('total_orders').getBoundingClientRect().top")
    try:
        stage.publish("next")
        expect(page.locator("#segments .kind li").first).to_contain_text("5,500", timeout=SECONDS)
        expect(page.get_by_role("status")).to_have_text("Another run is published now. This page shows it.")
        expect(page.locator("#total_orders")).to_be_focused()
        expect(page.locator("#total_orders")).to_have_value("4")
        expect(page.locator("#new")).to_have_value(chosen)
        assert page.evaluate("window.kept")
        assert abs(page.evaluate("document.getElementById('total_orders').getBoundingClientRect().top") - top) < 5
    finally:
        stage.roll_back(before, f"It was a test {EVIL}")
    expect(page.locator("#segments .kind li").first).to_contain_text("3,520", timeout=SECONDS)
    expect(page.locator(".timeline li").first).to_contain_text(f"It was a test {EVIL}")


@pytest.mark.long
def test_from_the_first_publish_of_the_sample_to_that_of_a_history(
    visit: Visit, stage: Stage, tmp_path: Path, violations: Violations
) -> None:
    """Before the first run, the page links to the DAG in Airflow. A run of the sample appears by itself, with a banner
    that stays until another history is published and named.
    """
    with stage.beside(tmp_path) as beside:
        page = visit("/", at=beside)
        expect(page.get_by_role("heading", level=2)).to_have_text("Nothing is published yet")
        link = page.locator("main").get_by_role("link", name="Airflow")
        expect(link).to_have_attribute("href", f"{AIRFLOW}/dags/Voucher_Select")
        assert not violations(page)
        page.evaluate("window.kept = true")

        beside.publish("before", sample=True)
        expect(page.locator("#segments h2")).to_have_text("Segments of Peru", timeout=SECONDS)
        assert page.evaluate("window.kept")

        phone = visit("/", at=beside, **PHONE, **DARK)
        expect(phone.locator(".banner")).to_contain_text("Sample data.", timeout=SECONDS)
        expect(phone.locator(".banner")).to_be_in_viewport()
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not violations(phone)

        beside.publish("now")
        expect(phone.get_by_role("status")).to_have_text(
            "Another run is published now. This page shows it.", timeout=SECONDS
        )
        expect(phone.locator(".banner")).to_have_count(0)
        expect(phone.locator(".facts")).to_contain_text(f"{tmp_path}/now.parquet")


def test_a_banner_tells_that_postgres_is_away_and_goes_with_it(
    visit: Visit, stage: Stage, violations: Violations
) -> None:
    """While Postgres is down, a banner says so, segments and answers stay, and only database reads are missing."""
    page = visit()
    try:
        stage.postgres.kill()
        expect(page.locator(".banner")).to_contain_text("The database is down.", timeout=SECONDS)
        expect(page.get_by_role("status")).to_have_text("The database is down.")
        expect(page.locator("#dropped")).to_contain_text("be shown while the database is down")
        expect(page.locator("#segments .kind li").first).to_contain_text("3,520")
        page.locator("#total_orders").fill("20")
        page.locator("#try button[type=submit]").click()
        expect(page.locator(".because")).to_contain_text("20 orders, so segment 14-37")
        assert not violations(page)
    finally:
        stage.postgres.start()
    expect(page.locator(".banner")).to_have_count(0, timeout=SECONDS)
    expect(page.locator("#dropped")).to_contain_text("missing_total_orders")


@pytest.mark.long
def test_a_banner_tells_that_the_answers_are_stale(visit: Visit, stage: Stage, violations: Violations) -> None:
    """The banner for a stale run comes and goes by itself, with the time of the last check and a link to Airflow."""
    page = visit()
    try:
        stage.query("UPDATE voucher.current_run SET checked_at = '2020-06-02'")
        expect(page.locator(".banner")).to_contain_text("at 2 Jun 2020, 00:00 UTC", timeout=SECONDS)
        expect(page.locator(".banner").get_by_role("link", name="Airflow")).to_be_visible()
        assert not violations(page)
    finally:
        stage.query("UPDATE voucher.current_run SET checked_at = now()")
    expect(page.locator(".banner")).to_have_count(0, timeout=SECONDS)


@pytest.mark.long
def test_a_service_that_is_gone_is_told(visit: Visit, stage: Stage) -> None:
    """While the service is down, the page stays readable and shows a message, which disappears when it is back."""
    page = visit()
    visit.expected = ["net::ERR_"]
    try:
        stage.stop()
        expect(page.get_by_role("status")).to_contain_text("No connection to the service.", timeout=SECONDS)
        expect(page.locator("#segments .kind li").first).to_contain_text("3,520")
    finally:
        stage.start()
    expect(page.get_by_role("status")).to_have_text("", timeout=SECONDS)


STATES = {
    "light": ("/?country=Peru", {}),
    "dark": ("/?country=Peru", DARK),
    "phone": ("/?country=Peru", PHONE),
    "phone, dark": ("/?country=Latvia", PHONE | DARK),
    "narrow": ("/?country=Peru", {"viewport": {"width": 320, "height": 600}}),
    "answer": ("/?country=Peru&segment_name=recency_segment&last_order_ts=2020-05-22", {}),
    "errors": ("/?country=Peru&segment_name=recency_segment&last_order_ts=soon", {}),
    "errors, dark": ("/?country=Peru&segment_name=frequent_segment&total_orders=x", DARK),
    "unknown kind": ("/?country=Peru&segment_name=vip", {}),
    "less motion": ("/?country=Peru", {"reduced_motion": "reduce"}),
    "evil": (f"/?country={EVIL.replace(' ', '%20')}", {}),
}


COVERED = {"dark", "phone", "errors, dark", "less motion"}  # in `make test`, others stand for these


@pytest.mark.parametrize(
    "state", [pytest.param(state, marks=[pytest.mark.long] if state in COVERED else []) for state in STATES]
)
def test_nothing_is_in_anybodys_way(visit: Visit, violations: Violations, state: str) -> None:
    """axe-core finds no violation, and the page does not scroll horizontally."""
    path, options = STATES[state]
    page = visit(path, **options)
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.long
def test_outcomes_and_a_lottery_are_in_nobodys_way(
    visit: Visit, stage: Stage, tmp_path: Path, violations: Violations
) -> None:
    """With outcomes, a lottery or both, there is no violation and no horizontal scroll, folded or not, also without
    JavaScript; what is unfolded stays so when a new run appears.
    """
    used = {"countries": {"Peru": 7256}, "uses": 1451, "runner_up": (3520, 4401), "evidence": (30, 0.1, 0.3, True)}
    narrow = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

    def check(page: Page) -> None:
        assert not violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    with stage.beside(tmp_path) as beside:
        beside.publish_rows("a" * 16, **used, draws=draws())
        page = visit("/", at=beside)
        expect(page.locator(".lottery")).to_contain_text("6\xa0% of customers draw one of 5 amounts", timeout=SECONDS)
        expect(page.locator("#effects")).to_have_count(0)
        check(page)
        outcomes = {"basis": "effect", "effects": EFFECTS, "policies": POLICIES}
        beside.publish_rows("b" * 16, **used, **outcomes)
        expect(page.locator("#effects")).to_be_visible(timeout=SECONDS)
        check(page)
        expect(page.locator("#effects details li").first).to_be_hidden()
        for summary in page.locator("#effects summary").all():
            summary.click()
        check(page)
        beside.publish_rows("c" * 16, **used, **outcomes, draws=draws())
        expect(page.locator(".lottery")).to_be_visible(timeout=SECONDS)
        expect(page.locator("#effects details[open]")).to_have_count(4)
        for options in (narrow | DARK, {"viewport": {"width": 320, "height": 600}}):
            page = visit("/", at=beside, **options)
            page.evaluate("document.querySelectorAll('#effects details').forEach(each => each.open = true)")
            check(page)
        plain = visit("/", at=beside, java_script_enabled=False, **narrow)
        plain.locator("#effects summary").first.click()
        expect(plain.locator("#effects details li").first).to_be_visible()
        visit.end()  # before the service ends, which the pages poll


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, DARK, PHONE, {"viewport": {"width": 320, "height": 600}}])
def test_a_kind_and_names_that_a_run_brings_are_in_nobodys_way(
    visit: Visit, stage: Stage, tmp_path: Path, violations: Violations, options: dict[str, Any]
) -> None:
    """A third kind, and names of segments, have no violation and do not scroll horizontally; the kind can be tried."""
    tenure = {"tenure_segment": ("days_since_first_order", [("0-99", 0, 99, 700), ("100+", 100, None, 800)])}
    named = {"0-29": "active", "30-60": "cooling down", "180+": "lapsed regulars who once ordered every week"}
    with stage.beside(tmp_path) as beside:
        beside.publish_rows("a" * 16, kinds=USUAL | tenure, titles={"recency_segment": named}, uses=3)
        page = visit("/?country=Peru", at=beside, **options)
        expect(page.locator("#segments")).to_contain_text("cooling down", timeout=SECONDS)
        assert not violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("radio", name="Days since the first order").check()
        expect(page.locator("#total_orders")).to_be_hidden()
        page.get_by_label("Day of the first order").fill(str(TODAY - timedelta(days=100)))
        page.get_by_role("button", name="Show the voucher").click()
        expect(page.locator(".because")).to_contain_text("100 days from the first order")
        expect(page.locator(".voucher")).to_contain_text("800")
        assert not violations(page)
        visit.end()  # before the service ends, which the page polls


@pytest.mark.parametrize("options", [{}, DARK], ids=["light", "dark"])
def test_an_unknown_country_is_in_nobodys_way(visit: Visit, violations: Violations, options: dict[str, Any]) -> None:
    """The page for an unknown country has no violations; the browser itself logs the 404 on the console."""
    visit.expected = ["404"]
    page = visit("/?country=Atlantis", **options)
    expect(page.get_by_role("heading", level=2)).to_contain_text("Atlantis")
    assert not violations(page)


def test_on_paper_there_is_what_can_be_read(visit: Visit) -> None:
    """The printed page has all sections and the colours of its legends, but no forms or navigation."""
    page = visit("/?country=Peru&segment_name=frequent_segment&total_orders=3")
    page.emulate_media(media="print")
    exact = "each => [...each].map(one => getComputedStyle(one).printColorAdjust)"
    assert set(page.locator(".legend i, .cells b").evaluate_all(exact)) == {"exact"}
    for name in ("segments", "overview", "try", "dropped", "runs"):
        expect(page.locator(f"#{name} h2")).to_be_visible()
    for selector in ("form", ".parts", ".pills", ".curl", ".skip"):
        expect(page.locator(selector).first).to_be_hidden()


def test_it_is_light(visit: Visit) -> None:
    """The first response has all content; with style, script and icon, the page is below 150 kB."""
    page = visit()
    page.wait_for_load_state("networkidle")
    loaded = [request for request in visit.requests if request.resource_type != "fetch"]
    sizes = {
        request.url.rpartition("/")[2]: request.sizes()["responseBodySize"] + request.sizes()["responseHeadersSize"]
        for request in loaded
    }
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    print(f"{sum(sizes.values()):,} bytes in {len(sizes)} requests: {sizes}; first paint after {paint:.0f} ms")
    assert len(sizes) <= 4
    assert sum(sizes.values()) < 150_000
    assert "20 of 32 vouchers" in loaded[0].response().text()


def test_the_documentation_is_a_click_away(visit: Visit) -> None:
    """The link leads to the documentation, which sends no request to another host."""
    page = visit()
    page.get_by_role("link", name="API documentation").click()
    expect(page).to_have_url(re.compile("/redoc$"))
    expect(page.get_by_role("heading", name="Voucher Select")).to_be_visible(timeout=SECONDS)
