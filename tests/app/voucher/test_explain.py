"""The evidence for an answer: `?explain=true`, and the headers of a plain amount."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.published.effects import Effect
from app.published.lottery import Choice
from app.published.segment import Kind, Segment
from app.voucher.sentence import because
from tests.app.conftest import DATA_TO, DAY, RUN, Ask
from tests.app.outcomes import EFFECTS, draws

Publish = Callable[..., None]

BARE = b'{"voucher_amount":1000}\n'
SEGMENT = Segment(
    country_code="Peru",
    segment_name="frequent_segment",
    segment="14-37",
    position=2,
    measure="total_orders",
    lower_bound=14,
    upper_bound=37,
    voucher_amount=Decimal("2640.00"),
    uses=4401,
    rows=7256,
    runner_up_amount=Decimal("3520.00"),
    runner_up_uses=1790,
    basis="segment",
    tied=False,
)
ORDERS = Kind("frequent_segment", 0, "total_orders", "total_orders", "orders", "Number of orders", "")
RECENCY = Kind("recency_segment", 1, "days_since_last_order", "last_order_ts", "days", "Days since the last order", "")


@pytest.mark.parametrize("path", ["/voucher", "/segmentation-voucher/"])
def test_an_explanation_tells_all_that_the_amount_rests_on(publish: Publish, ask: Ask, path: str) -> None:
    """The explanation has the amount, the segment's columns, the measured value, the run and the age of its data."""
    checked_at = datetime.now(UTC).replace(microsecond=0)
    publish(uses=20, runner_up=(Decimal("3520.50"), 7), checked_at=checked_at)
    found = ask(f"{path}?explain=true", country_code=" peru", total_orders=27.0).json
    assert datetime.fromisoformat(found.pop("published_at")) == pytest.approx(
        datetime.now(UTC), abs=timedelta(minutes=1)
    )
    assert found.pop("data_age_days") == pytest.approx((datetime.now(UTC) - DATA_TO) / timedelta(days=1), abs=0.1)
    assert found == {
        "voucher_amount": 1200,
        "because": "27 orders, so segment 14-37: 1200 was used in 20 of 30 vouchers, 67 %.",
        "country_code": "Peru",
        "segment_name": "frequent_segment",
        "segment": "14-37",
        "position": 2,
        "lower_bound": 14,
        "upper_bound": 37,
        "measure": "total_orders",
        "measured": 27,
        "reference_day": "2018-07-15",
        "uses": 20,
        "rows": 30,
        "share": 0.6667,
        "runner_up_amount": 3520.5,
        "runner_up_uses": 7,
        "basis": "segment",
        "tied": False,
        "sends": None,
        "share_low": None,
        "share_high": None,
        "clear": None,
        "title": None,
        "kind_title": "Number of orders",
        "mean_amount": 2641.45,
        "currency": "PEN",
        "currency_basis": "country",
        "chosen_by": "table",
        "propensity": 1,
        "table_amount": 1200,
        "evidence": None,
        "redeemed": None,
        "redeemed_low": None,
        "redeemed_high": None,
        "run_id": RUN,
        "run_status": "current",
        "checked_at": checked_at.isoformat().replace("+00:00", "Z"),
        "data_to": "2018-07-14T21:00:00Z",
    }


@pytest.mark.parametrize(
    ("last_order", "days", "segment", "bounds"),
    [
        ("2018-05-03", 73, "61-90", (61, 90)),
        ("2018-07-16", 0, "0-29", (0, 29)),
        ("2018-01-15", 181, "180+", (181, None)),
    ],
)
def test_days_are_explained_as_they_were_counted(
    publish: Publish, ask: Ask, last_order: str, days: int, segment: str, bounds: tuple[int, int | None]
) -> None:
    """Days count up to the reference day: a last order a day later counts as 0, and the last segment is open."""
    publish()
    found = ask("/voucher?explain=true", segment_name="recency_segment", last_order_ts=last_order).json
    assert (found["measure"], found["measured"], found["segment"]) == ("days_since_last_order", days, segment)
    assert (found["lower_bound"], found["upper_bound"]) == bounds
    assert found["because"].startswith(f"{days} days from the last order to 2018-07-15, so segment {segment}: ")


def test_the_reference_day_is_today_when_none_is_pinned(publish: Publish, ask: Ask) -> None:
    """Without a pinned day, the explanation shows the current day, which the days were counted to."""
    publish(today=None)
    found = ask("/voucher?explain=true", segment_name="recency_segment", last_order_ts="2018-05-03").json
    assert date.fromisoformat(found["reference_day"]) - date(2018, 5, 3) == timedelta(found["measured"])
    assert abs(date.fromisoformat(found["reference_day"]) - datetime.now(UTC).date()) <= timedelta(1)


def test_a_country_that_answers_for_its_segment_has_no_share(publish: Publish, ask: Ask) -> None:
    """A segment without vouchers uses the amount of its country; it has no share and no runner-up."""
    publish(countries={"Peru": 0}, basis="country")
    found = ask("/voucher?explain=true").json
    assert (found["basis"], found["uses"], found["rows"], found["share"]) == ("country", 0, 0, None)
    assert (found["runner_up_amount"], found["runner_up_uses"]) == (None, None)
    assert found["because"] == (
        "3 orders, so segment 0-4: it has no vouchers, so 1000 is the amount used most in all of Peru."
    )


@pytest.mark.parametrize(
    ("change", "measured", "sentence"),
    [
        ({}, 27, "27 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %."),
        (
            {"segment": "0-4", "uses": 1, "rows": 1},
            1,
            "1 order, so segment 0-4: 2640 was used in 1 of 1 vouchers, 100 %.",
        ),
        (
            {"tied": True, "runner_up_uses": 4401},
            1_000_000,
            "1,000,000 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %; 3520 as often, and "
            "the smaller wins.",
        ),
        (
            {"tied": True, "runner_up_amount": Decimal(0)},
            27,
            "27 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %; 0 as often, and the "
            "smaller wins.",
        ),
        (
            {"segment_name": "recency_segment", "segment": "0-29", "voucher_amount": Decimal("2640.50")},
            1,
            "1 day from the last order to 2018-07-15, so segment 0-29: 2640.5 was used in 4,401 of 7,256 vouchers, "
            "61 %.",
        ),
        (
            {"sends": 30, "share_low": 0.5741, "share_high": 0.6389, "clear": True},
            27,
            "27 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %, give or take 3 points over 30 "
            "sends.",
        ),
        (
            {"sends": 1200, "share_low": 0.5941, "share_high": 0.6189, "clear": False},
            27,
            "27 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %, give or take 1 point over 1,200 "
            "sends; not clear of 3520.",
        ),
        (
            {"sends": 10, "share_low": 1.0, "share_high": 1.0, "clear": True, "uses": 7256}
            | {"runner_up_amount": None, "runner_up_uses": None},
            27,
            "27 orders, so segment 14-37: 2640 was used in 7,256 of 7,256 vouchers, 100 %, give or take less than 1 point "
            "over 10 sends.",
        ),
        (
            {"sends": 10, "share_low": 0.5, "share_high": 0.7, "clear": False, "tied": True, "runner_up_uses": 4401},
            27,
            "27 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %, give or take 11 points over 10 "
            "sends; 3520 as often, and the smaller wins.",
        ),
        (
            {"sends": 2},
            27,
            "27 orders, so segment 14-37: 2640 was used in 4,401 of 7,256 vouchers, 61 %; too few sends to tell how sure "
            "that is.",
        ),
    ],
)
def test_the_sentence_is_one_that_a_person_would_say(change: dict[str, object], measured: int, sentence: str) -> None:
    """The sentence is grammatical for one order, many orders, days and ties, and says how sure the share is."""
    row = replace(SEGMENT, **change)
    kind = ORDERS if row.segment_name == ORDERS.segment_name else RECENCY
    assert because(row, kind, row.choice, None, measured=measured, reference_day=DAY) == sentence


@pytest.mark.parametrize(
    ("change", "choice", "outcome", "more"),
    [
        ({}, {"chosen_by": "lottery", "propensity": Fraction(3, 250)}, None, " This customer gets 1500 by lottery; 1.2 % of the segment do."),
        ({}, {"chosen_by": "holdout", "propensity": Fraction(1, 50)}, None, " This customer gets 1500 because this customer is held out; 2 % of the segment do."),
        ({}, {}, EFFECTS[0], " 35 % of the customers who got 1500 redeemed it (33 to 37 %); one more redemption than with 1000 costs 4,588."),
        ({}, {}, replace(EFFECTS[0], further_cost=0.6543), " 35 % of the customers who got 1500 redeemed it (33 to 37 %); one more redemption than with 1000 costs 0.65."),
        ({}, {}, replace(EFFECTS[0], difference=-0.05, difference_high=-0.01, further_cost=None), " 35 % of the customers who got 1500 redeemed it (33 to 37 %); fewer than with 1000."),
        ({}, {}, replace(EFFECTS[0], further_cost=None), " 35 % of the customers who got 1500 redeemed it (33 to 37 %)."),
        ({}, {}, replace(EFFECTS[0], evidence="association"), " 35 % of the customers who got 1500 redeemed it (33 to 37 %); who got it was not left to chance, so that recommends nothing."),
        ({}, {}, EFFECTS[3], " What 1500 does can't be told: only 3 of the 10 clusters needed."),
        ({"basis": "effect", "voucher_amount": Decimal(1500), "uses": 726}, {}, EFFECTS[0], "27 orders, so segment 14-37: 1500 is chosen by its effect. It was used in 726 of 7,256 vouchers, 10 %; 3520 in 1,790. 35 % of the customers who got 1500 redeemed it (33 to 37 %); one more redemption than with 1000 costs 4,588."),
        ({"basis": "effect", "uses": 7256, "runner_up_amount": None, "runner_up_uses": None}, {}, None, "27 orders, so segment 14-37: 2640 is chosen by its effect. It was used in 7,256 of 7,256 vouchers, 100 %."),
    ],
    ids=["lottery", "holdout", "effect", "cents", "fewer", "unclear", "association", "refused", "chosen", "chosen alone"],
)  # fmt: skip
def test_the_sentence_says_how_it_came_about_and_what_it_does(
    change: dict[str, object], choice: dict[str, Any], outcome: Effect | None, more: str
) -> None:
    """More sentences say that the amount was drawn, and what it does, if outcomes are known."""
    given = Choice(Decimal(1500), **choice)
    found = because(replace(SEGMENT, **change), ORDERS, given, outcome, measured=27, reference_day=DAY)
    assert found == more if change else found.partition("vouchers, 61 %.")[2] == more


def test_an_explanation_tells_what_the_drawn_amount_does(publish: Publish, ask: Ask) -> None:
    """For a drawn amount, the explanation has its outcomes, its propensity, and the amount of the segment."""
    publish(countries={"Peru": 30, "Latvia": 90}, effects=EFFECTS, draws=draws(drawn=(1500,), held=None))
    number = next(each for each in range(1000) if ask(customer_id=each).headers["Voucher-Chosen-By"] == "lottery")
    names = ("voucher_amount", "chosen_by", "propensity", "table_amount", "evidence")
    outcome = ("redeemed", "redeemed_low", "redeemed_high")
    found = ask("/voucher?explain=true", customer_id=number).json
    assert [found[name] for name in names] == [1500, "lottery", 0.06, 1000, "effect"]
    assert [found[name] for name in outcome] == [0.35, 0.3333, 0.3667]
    table = ask("/voucher?explain=true").json
    assert [table[name] for name in names] == [1000, "table", 1, 1000, "effect"]
    assert [table[name] for name in outcome] == [0.3012, 0.2846, 0.3179]
    association = ask("/voucher?explain=true", total_orders=5).json
    assert (association["voucher_amount"], association["evidence"]) == (1100, "association")
    assert ask("/voucher?explain=true", country_code="Latvia").json["evidence"] is None


@pytest.mark.parametrize("query", ["", "?explain=false", "?explain=FALSE", "?explain=0", "?unknown=true"])
def test_without_an_explanation_there_is_the_amount_and_nothing_else(standing: Ask, query: str) -> None:
    """The body has only the amount; headers name the run and the segment."""
    response = standing(f"/voucher{query}")
    assert response.data == BARE
    assert (response.headers["Voucher-Run"], response.headers["Voucher-Segment"]) == (RUN, "frequent_segment 0-4")


@pytest.mark.parametrize("yes", ["true", "True", "TRUE", "1"])
def test_yes_may_be_said_in_any_case(standing: Ask, yes: str) -> None:
    """`explain` accepts true in any case and 1; the headers are the same as without it."""
    response = standing(f"/voucher?explain={yes}")
    assert response.json["segment"] == "0-4"
    assert (response.headers["Voucher-Run"], response.headers["Voucher-Segment"]) == (RUN, "frequent_segment 0-4")


@pytest.mark.parametrize(
    "query",
    [
        *("explain=", "explain=yes", "explain=2", "explain=true ", "explain", "explain=true&explain=false"),
        "explain=%3Cb%3E",
    ],
)
def test_anything_else_is_no_answer_to_whether_to_explain(standing: Ask, query: str) -> None:
    """Other values of `explain` get a 422 that names the parameter; errors of the customer are reported first."""
    response = standing(f"/voucher?{query}")
    assert (response.status_code, response.mimetype) == (422, "application/problem+json")
    assert [error["field"] for error in response.json["errors"]] == ["explain"]
    assert b"<" not in response.data
    assert [e["field"] for e in standing(f"/voucher?{query}", total_orders="3").json["errors"]] == ["total_orders"]


@pytest.mark.parametrize(
    ("label", "header"),
    [
        ("14-37", "14-37"),
        ("38+ (best)", "38+ (best)"),
        ("top 5%", "top 5%25"),
        ("über 4", "%C3%BCber 4"),
        ("a\r\nSet-Cookie: b", "a%0D%0ASet-Cookie: b"),
    ],
)
def test_a_label_of_any_text_makes_a_header(publish: Publish, client: FlaskClient, label: str, header: str) -> None:
    """The header percent-encodes what a header cannot contain, because analysts may choose any label."""
    publish(kinds={"frequent_segment": ("total_orders", [(label, 0, None, 1)])})
    response = Ask(client)()
    assert response.headers["Voucher-Segment"] == f"frequent_segment {header}"
    assert Ask(client)("/voucher?explain=true").json["segment"] == label
