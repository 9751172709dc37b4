"""The page of a run with outcomes or a lottery; without either, it has neither section nor line of them."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import KINDS
from tests.app.outcomes import EFFECTS, POLICIES, draws, effect
from tests.app.page.conftest import EVIL, part, words

Publish = Callable[..., None]

COUNTRIES = {"Peru": 7256, "Latvia": 9000}
USED = {"uses": 4401, "runner_up": (3520, 1451), "evidence": (30, 0.57412, 0.63894, True)}


def test_what_works(publish: Publish, client: FlaskClient) -> None:
    """The section has the policies of each kind, then the amounts of each segment with share, interval and costs."""
    publish(countries=COUNTRIES, effects=EFFECTS, policies=POLICIES)
    page = client.get("/?country=Peru").text
    found = part(page, "effects")
    assert "What works in Peru" in found
    policies = found.index(
        "Most used each segment's most used amount: 31.4 % 30.4 % to 32.4 % would redeem it costs 314"
    )
    assert (
        "Best by outcome each segment's amount with the largest share: Not told worth only 7 of the 100 customers needed"
        in found
    )
    assert "Uniform each amount equally often: 25.0 %" in found
    segments = re.findall(r"([\d+-]+) orders: ((?:Association )?2 amounts(?:, [^r]* redeemed)?)", found)
    assert segments == [
        ("0-4", "2 amounts, 30 % to 35 % redeemed"),
        ("5-13", "Association 2 amounts, 30 % redeemed"),
        ("14-37", "2 amounts, 20 % to 21 % redeemed"),
        ("38+", "2 amounts, 30 % to 40 % redeemed"),
    ]
    assert policies < found.index("0-4 orders")
    assert (
        "voucher 1,000 30.1 % 28.5 % to 31.8 % of 1,234 customers costs 301 a customer voucher 1,500 35.0 % 33.3 % to "
        "36.7 % of 1,234 customers costs 525 a customer one more redemption than with 1,000 costs 4,588 5-13"
    ) in found
    assert "costs 301 a customer no clear difference from 1,200" in found
    assert "costs 301 a customer fewer redeem it than 1,300" in found
    assert "voucher 2,200 Not told only 3 of the 10 clusters needed; known outcomes: 3" in found
    assert found.count("was not left to chance, so this recommends nothing.") == 1
    assert '<rect class="left" x="0" width="35.0" height="1"/><rect class="range" x="33.33" width="3.33"' in page
    assert '<rect class="won" x="0" width="30.12" height="1"/><rect class="range"' in page
    assert page.index('id="segments"') < page.index('id="effects"') < page.index('id="try"')
    assert page.count("<details id=") == page.count("<details") == 4
    assert '<a href="#effects"><span>What </span>works</a>' in page
    assert "does not mean “most effective”: see what works" in words(page)
    for link in re.findall(r'href="(/effects[^"]*)"', page):
        assert client.get(link).json or "1500" in client.get(link).text


def test_only_what_is_there_is_shown(publish: Publish, client: FlaskClient) -> None:
    """Without outcomes of the country, and without a lottery, the page says nothing of them."""
    publish(countries=COUNTRIES, **USED, effects=EFFECTS, policies=POLICIES, draws=draws())
    elsewhere = client.get("/?country=Latvia").text
    publish("b" * 16, countries=COUNTRIES, **USED)
    nowhere = client.get("/?country=Latvia").text
    for page in (elsewhere, nowhere):
        for word in ("effect", "lottery", "What works", "Association", "redeem"):
            assert word not in page.partition('id="campaign"')[0], word
    assert "customer_id" in part(elsewhere, "campaign")
    assert "customer_id" not in part(nowhere, "campaign")
    assert "does not mean “most effective”: the history has no outcomes." in nowhere
    assert "the history has no outcomes" not in elsewhere


def test_an_amount_chosen_by_effect(publish: Publish, client: FlaskClient) -> None:
    """A segment whose amount is chosen by its effect says so in place of its lead."""
    publish(countries={"Peru": 7256}, uses=1451, runner_up=(3520, 4401), evidence=(30, 0.1, 0.3, False), basis="effect")
    board = part(client.get("/").text, "segments")
    assert "1,451 of 7,256 vouchers Chosen by effect 3,520 was used in 61 %" in board
    assert "3,520, matches 61 % of the vouchers sent. These segments match 20 %: 41 points fewer" in board
    assert "Where it says so, the amount is chosen by its effect instead." in board
    for word in ("Clear", "Not clear", "points more", "points ahead", "most used 95", "runner-up"):
        assert word not in board


@pytest.mark.parametrize(
    ("drawn", "held", "line"),
    [
        ((1000, 1500, 2500, 3500, 4500), 880, "6 % of customers draw one of 5 amounts by lottery, and 2 % always get 880."),
        ((1500,), None, "6 % of customers get 1,500 by lottery."),
        ((), 0, "2 % of customers always get 0."),
    ],
)  # fmt: skip
def test_the_lottery_in_a_line(
    publish: Publish, client: FlaskClient, drawn: tuple[int, ...], held: int | None, line: str
) -> None:
    """The page says how many customers draw, from how many amounts, and how many are held out."""
    publish(countries=COUNTRIES, draws=draws(drawn=drawn, held=held))
    shown = part(client.get("/?country=Peru").text, "segments")
    assert f"{line} The others get the amounts below." in shown
    assert "The others get" not in client.get("/?country=Latvia").text


def test_html_in_outcomes_is_shown_as_text(publish: Publish, client: FlaskClient) -> None:
    """The page escapes HTML in countries, kinds, labels and reasons of outcomes."""
    kinds = {EVIL: (EVIL, [(EVIL, 0, None, 7)]), **KINDS}
    columns = {"country_code": EVIL, "segment_name": EVIL, "refused": EVIL}
    publish(
        countries={EVIL: 5},
        kinds=kinds,
        effects=[replace(EFFECTS[3], segment=EVIL, **columns), effect(8, EVIL, country_code=EVIL, segment_name=EVIL)],
        policies=[replace(POLICIES[1], **columns)],
    )
    page = client.get("/")
    assert page.status_code == 200
    assert "<img src=x" not in page.text
    assert part(page.text, "effects").count("<img src=x onerror=alert(1)>") >= 5
