"""The conditions that a rule may have."""

import pytest

from pipeline.rules.conditions import ConditionError, parse


@pytest.mark.parametrize(
    "condition",
    [
        "total_orders IS NULL",
        "total_orders = 0 AND (first_order_ts IS NOT NULL OR last_order_ts IS NOT NULL)",
        "total_orders = 1 AND first_order_ts <> last_order_ts",
        "NOT voucher_amount BETWEEN 1 AND 20000.50",
        "country_code IN ('Peru', 'Latvia')",
        "total_orders = -1",
        "timestamp < TIMESTAMP '2020-01-01 10:00'",
        "CAST(timestamp AS DATE) >= DATE '2020-01-01'",
        "timestamp + INTERVAL '3' DAY < last_order_ts",
        "last_order_ts - first_order_ts > INTERVAL '10' YEAR",
        "CAST(timestamp AS DATE) - CAST(last_order_ts AS DATE) > 90",
        "TRUE",
    ],
)
def test_allowed(condition: str) -> None:
    """A rule may use comparisons, logic, NULLs, ranges, lists and plain date arithmetic on the six columns."""
    parse(condition)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("total_order > 1", "'total_order' at character 1 is not a column; did you mean total_orders?"),
        ("total_orders IS NULL AND price > 3", "'price' at character 26 is not among timestamp"),
        ("history.total_orders > 1", "is not allowed in a rule"),
        ("total_orders", "is a number, not a condition"),
        ("total_orders = 'many'", "compares a number with a text"),
        ("timestamp > '2020-01-01'", "write dates as DATE '2020-05-01'"),
        ("total_orders = NULL", "'NULL' is not allowed"),
        ("country_code > 'M'", "orders a text"),
        ("total_orders / 2 > 1", "'total_orders / 2' at character 1 is not allowed"),
        ("total_orders + 1 > 1", "only dates and intervals"),
        ("read_text('/etc/passwd') = ''", "READ_TEXT('/etc/passwd')"),
        ("getenv('HOME') = ''", "GETENV('HOME')"),
        ("total_orders IN (SELECT 1)", "is not allowed"),
        ("EXISTS (SELECT 1)", "is not allowed"),
        ("TRUE; DROP TABLE voucher.run", "is not allowed"),
        ("total_orders > ?", "is not allowed"),
        ("now() > timestamp", "is not allowed"),
        ("CURRENT_DATE > timestamp", "is not allowed"),
        ("country_code LIKE 'P%'", "is not allowed"),
        ("CAST(total_orders AS VARCHAR) = '1'", "only a time is cast"),
        ("TRY_CAST(timestamp AS DATE) = DATE '2020-01-01'", "is not allowed"),
        ("timestamp < DATE '2020-02-30'", "is not a date"),
        ("timestamp + INTERVAL '99999999' YEAR > timestamp", "is not an interval"),
        ("total_orders IS TRUE", "IS compares with NULL only"),
        ("total_orders AND TRUE", "stands where something true or false is needed"),
        ("total_orders =", "is not SQL at character 14"),
        ("'unclosed", "can't be read as SQL"),
        ("", "is not SQL"),
        ("(" * 400 + "TRUE" + ")" * 400, "can't be read as SQL"),
        ("total_orders = 1 OR " * 500 + "TRUE", "has 10,004 characters; at most 1,000 are read"),
    ],
)
def test_refused(condition: str, message: str) -> None:
    """Any other condition is refused, in one line that names what is wrong, where, and what to write instead."""
    with pytest.raises(ConditionError) as refusal:
        parse(condition)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
