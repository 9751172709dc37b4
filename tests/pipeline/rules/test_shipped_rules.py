"""The rules in pipeline/rules.toml, row by row. A change of a rule requires a change of the table ROWS."""

from typing import Any

import duckdb
import pytest

from pipeline.rules.rulebook import RuleBook
from tests.pipeline.conftest import history

NOON, LATER = "2020-03-01 12:00:00+00:00", "2020-03-01 12:00:01+00:00"
NO_DATES = {"first_order_ts": None, "last_order_ts": None}

# The changes to a row, and the rule that drops it, or None if it is kept.
ROWS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"total_orders": None}, "missing_total_orders"),
    ({"total_orders": ""}, "missing_total_orders"),
    ({"total_orders": None} | NO_DATES, "missing_total_orders"),
    ({"total_orders": "0.0"} | NO_DATES, None),
    ({"voucher_amount": None}, "missing_voucher_amount"),
    ({"voucher_amount": 0.0}, None),
    ({"total_orders": None, "voucher_amount": None}, "missing_total_orders"),
    ({"total_orders": "0.0"}, "zero_orders_with_order_dates"),
    ({"total_orders": "0.0", "first_order_ts": None}, "zero_orders_with_order_dates"),
    ({"total_orders": "0.0", "last_order_ts": None}, "zero_orders_with_order_dates"),
    ({"total_orders": "0.0", "voucher_amount": None}, "missing_voucher_amount"),
    ({"total_orders": "1.0"}, "one_order_with_two_dates"),
    ({"total_orders": "1.0", "first_order_ts": NOON, "last_order_ts": NOON}, None),
    ({"total_orders": "1.0", "first_order_ts": NOON, "last_order_ts": LATER}, "one_order_with_two_dates"),
    ({"total_orders": "1.0", "first_order_ts": LATER, "last_order_ts": NOON}, "one_order_with_two_dates"),
    ({"total_orders": "1.0", "first_order_ts": NOON, "last_order_ts": "2020-03-01 13:00:00+01:00"}, None),
    ({"total_orders": "1.0", "first_order_ts": None}, None),
    ({"total_orders": "1.0", "last_order_ts": None}, None),
    ({"total_orders": "2.0"}, None),
    ({"first_order_ts": None}, None),
    ({"last_order_ts": None}, None),
    ({"timestamp": None}, None),
    ({"timestamp": "2017-01-15"}, None),
]


def dropped_by(rules: RuleBook) -> list[str | None]:
    """Return the rule that drops each of ROWS."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.register("rows", history(*(row for row, _ in ROWS)))
        connection.execute(
            "CREATE VIEW part AS SELECT *, NULL AS redeemed, NULL AS propensity, NULL AS cluster FROM rows"
        )
        judged = connection.sql(f"SELECT {rules.dropped_by()} FROM ({rules.sql('part')})")
        return [reason for (reason,) in judged.fetchall()]


def test_every_rule_has_a_row_that_it_drops() -> None:
    """Every shipped rule drops a row in ROWS, so a new rule needs a new row."""
    assert {reason for _, reason in ROWS} - {None} == {rule.name for rule in RuleBook.load().rules}


@pytest.mark.parametrize(
    ("row", "expected", "reason"),
    [(*pair, reason) for pair, reason in zip(ROWS, dropped_by(RuleBook.load()), strict=True)],
)
def test_what_the_rules_do(row: dict[str, Any], expected: str | None, reason: str | None) -> None:
    """Each rule drops the rows that ROWS lists for it, and no others."""
    assert reason == expected, f"{row} is dropped by {reason}, not by {expected}: change the rule's cell, or this table"
