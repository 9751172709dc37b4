"""The amount for a customer: for both kinds, every bound and the values below and above it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.app.conftest import DAY, KINDS, Ask

Publish = Callable[..., None]

ORDERS = {
    **{0: 1000, 1: 1000, 3: 1000, 4: 1000, 5: 1100, 6: 1100, 12: 1100, 13: 1100, 14: 1200, 15: 1200},
    **{36: 1200, 37: 1200, 38: 1300, 39: 1300, 516: 1300, 10**30: 1300},
}
DAYS = {
    **{-1: 2000, 0: 2000, 1: 2000, 28: 2000, 29: 2000, 30: 2100, 31: 2100, 59: 2100, 60: 2100, 61: 2200, 62: 2200},
    **{89: 2200, 90: 2200, 91: 2300, 92: 2300, 119: 2300, 120: 2300, 121: 2400, 122: 2400, 179: 2400, 180: 2400},
    **{181: 2500, 182: 2500, 100_000: 2500},
}


def test_each_number_of_orders_falls_in_the_segment_whose_bounds_hold_it(publish: Publish, ask: Ask) -> None:
    """Both bounds of a segment are inclusive, and the last segment has no upper bound."""
    publish()
    assert {orders: ask.amount(total_orders=orders) for orders in ORDERS} == ORDERS


def test_each_recency_falls_in_the_segment_whose_bounds_hold_it(publish: Publish, ask: Ask) -> None:
    """Whole days count up to the pinned day; day 180 belongs to 121-180, and day 181 to the segment named 180+."""
    publish()
    assert {days: recency(ask, DAY - timedelta(days)) for days in DAYS} == DAYS


def test_recency_ends_today_when_nothing_is_pinned(publish: Publish, ask: Ask) -> None:
    """Without TODAY, days count up to the current UTC day, with the same bounds."""
    publish(today=None)
    today, seen = None, None
    while today != datetime.now(UTC).date():  # again if midnight passes meanwhile
        today = datetime.now(UTC).date()
        seen = {days: recency(ask, today - timedelta(days)) for days in DAYS}
    assert seen == DAYS


@pytest.mark.parametrize("moment", ["2018-07-15T23:59:59", "2018-07-16 00:00:00+02:00", "2018-07-14T20:00:00-04:00"])
def test_recency_counts_calendar_days_of_utc(publish: Publish, ask: Ask, moment: str) -> None:
    """A time with a zone counts as its UTC day; the time of day does not matter."""
    publish(kinds={"recency_segment": ("days_since_last_order", [("today", 0, 0, 1), ("earlier", 1, None, 2)])})
    assert ask.amount(segment_name="recency_segment", last_order_ts=moment) == 1


@pytest.mark.parametrize(("today", "origin"), [(DAY, "pinned by TODAY"), (None, "the current UTC day")])
def test_a_last_order_in_the_future_is_refused(publish: Publish, ask: Ask, today: date | None, origin: str) -> None:
    """A last order three days after the reference day gets a 422 that names the day and its origin."""
    publish(today=today)
    reference = today or datetime.now(UTC).date()
    response = ask(segment_name="recency_segment", last_order_ts=str(reference + timedelta(3)))
    assert response.status_code == 422
    [error] = response.json["errors"]
    assert error["field"] == "last_order_ts"
    assert origin in error["detail"]
    assert not today or f"{today}" in error["detail"]


def test_a_future_last_order_is_no_trouble_where_it_is_not_measured(publish: Publish, ask: Ask) -> None:
    """A future last order is accepted if the kind does not measure it."""
    publish()
    assert ask.amount(last_order_ts="2199-01-01") == 1000


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("2640.00", b"2640"), ("2640.50", b"2640.5"), ("9999999999.99", b"9999999999.99"), ("0", b"0")],
)
def test_an_amount_is_a_number_without_needless_digits(publish: Publish, ask: Ask, stored: str, shown: bytes) -> None:
    """The amount is a number without trailing zeros, 2640 rather than 2640.0 or "2640", and the only field."""
    publish(kinds={"frequent_segment": ("total_orders", [("0+", 0, None, Decimal(stored))])})
    assert ask().data.strip() == b'{"voucher_amount":' + shown + b"}"


@pytest.mark.parametrize("country", ["Peru", "peru", " PERU\t", "PeRu"])
def test_a_country_matches_after_strip_and_casefold(publish: Publish, ask: Ask, country: str) -> None:
    """A country matches regardless of case and outer white space."""
    publish()
    assert ask.amount(country_code=country) == 1000
    assert ask.amount(country_code="são TOMÉ") == 1000


def test_a_country_that_a_run_has_twice_is_answered_by_most_rows(publish: Publish, ask: Ask) -> None:
    """If a run of an earlier version has several spellings of a country, the one with most rows answers for all."""
    kinds = {"frequent_segment": ("total_orders", [("0-4", 0, 4, 1), ("5+", 5, None, 2)])}
    publish(countries={"Co\u0302te": 3, "C\u00f4te": 5, "C\u00f4te\u00a0": 4}, kinds=kinds)
    assert (ask.amount(country_code="côte", total_orders=4), ask.amount(country_code="CÔTE", total_orders=5)) == (1, 2)
    assert ask(country_code="Peru").json["known"] == ["C\u00f4te"]


def test_countries_answer_for_themselves(publish: Publish, ask: Ask) -> None:
    """A country gets its own amount, never that of another country."""
    publish(countries={"Latvia": 3}, kinds={"frequent_segment": ("total_orders", [("0+", 0, None, 4400)])})
    assert ask.amount(country_code="Latvia") == 4400
    assert ask(country_code="Peru").status_code == 404


@pytest.mark.parametrize("row", [{"basis": "country"}, {"tied": True}])
def test_ties_and_country_choices_are_answered_like_any_row(publish: Publish, ask: Ask, row: dict[str, object]) -> None:
    """The service answers ties and country amounts as published, because the pipeline has decided them."""
    publish(**row)
    assert ask.amount() == 1000


def test_an_unknown_country_is_told_the_known_ones(publish: Publish, ask: Ask) -> None:
    """An unknown country gets a 404 that lists the countries with an answer, most rows first."""
    publish()
    response = ask(country_code="Atlantis")
    assert response.status_code == 404
    assert response.json["known"] == ["Latvia", "Peru", "São Tomé"]


@pytest.mark.parametrize("path", ["/voucher", "/segmentation-voucher/", "/segmentation-voucher"])
def test_both_published_requests_are_answered_on_every_path(publish: Publish, ask: Ask, path: str) -> None:
    """Requests of earlier clients, with customer_id and their time format, are answered on every path."""
    publish()
    customer = {
        "customer_id": 123,
        "country_code": "Peru",
        "last_order_ts": "2018-05-03 00:00:00",
        "first_order_ts": "2017-05-03 00:00:00",
        "total_orders": 3,
    }
    assert ask(path, **customer, segment_name="frequent_segment").json == {"voucher_amount": 1000}
    assert ask(path, **customer, segment_name="recency_segment").json == {"voucher_amount": 2200}


def test_kinds_and_bounds_are_whatever_the_rows_say(publish: Publish, ask: Ask) -> None:
    """Kinds and bounds come from the published rows, so a third kind needs no change of the app."""
    publish(kinds=KINDS | {"loyal": ("total_orders", [("few", 0, 99, 1), ("many", 100, None, 2)])})
    assert [ask.amount(segment_name="loyal", total_orders=orders) for orders in (99, 100)] == [1, 2]


@pytest.mark.parametrize(
    ("measure", "told"),
    [("total_orders", "no frequent_segment of Peru holds total_orders 5"), ("shoe_size", "measures shoe_size")],
)
def test_a_broken_table_is_our_fault(
    publish: Publish, ask: Ask, capfd: pytest.CaptureFixture[str], measure: str, told: str
) -> None:
    """A gap in the bounds or an unknown measure causes a 500 with the reason in the log, never a wrong amount."""
    publish(kinds={"frequent_segment": (measure, [("0-4", 0, 4, 1000), ("6+", 6, None, 1100)])})
    response = ask(total_orders=5)
    assert (response.status_code, response.json["type"]) == (500, "urn:voucher-select:no-segment")
    assert told in capfd.readouterr().err


def recency(ask: Ask, last_order: date) -> object:
    return ask.amount(segment_name="recency_segment", last_order_ts=str(last_order), total_orders=None)
