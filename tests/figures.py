"""Compare a Parquet file with published figures: `python -m tests.figures FILE [FACTS]`.

A figure's name is its path in the JSON file of facts, by default those that the synthetic sample reproduces. Below the
path of a statement, each column of COUNTS is a figure, and each row of TABLES is one: keys, then the number.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import duckdb

PUBLISHED = Path(__file__).parents[1] / "sample" / "published_figures.json"

# Times become UTC, as text or timestamps, with or without a zone; a blank number of orders becomes NULL.
HISTORY = """
CREATE TABLE history AS
SELECT country_code AS country, voucher_amount AS amount, CAST("timestamp" AS TIMESTAMPTZ) AS sent,
       CAST(first_order_ts AS TIMESTAMPTZ) AS first, CAST(last_order_ts AS TIMESTAMPTZ) AS last,
       CAST(nullif(trim(CAST(total_orders AS VARCHAR)), '') AS DOUBLE) AS orders,
       coalesce(orders, 0) AS orders0, coalesce(CAST(amount AS INTEGER), 0) AS amount0,
       CASE WHEN orders0 <= 4 THEN '0-4' WHEN orders0 <= 13 THEN '5-13' WHEN orders0 <= 37 THEN '14-37'
            ELSE '38+' END AS segment,
       CAST(floor((epoch_us(sent) - epoch_us(last)) / 86400e6) AS INTEGER) AS floor_days,
       date_diff('day', last + INTERVAL 4 HOUR, sent + INTERVAL 4 HOUR) AS days4,
       date_diff('day', first, last) AS tenure,
       row_number() OVER (PARTITION BY country, amount, sent, first, last, orders) > 1 AS repeated
FROM read_parquet($file)
"""
COUNTS = {
    "": """
SELECT count(*) AS "rows", count(*) FILTER (sent < last) AS rows_last_order_after_timestamp,
       count(*) FILTER (last < first) AS rows_last_order_before_first_order,
       count(*) FILTER (NOT repeated AND (amount IS NULL OR orders IS NULL)) AS invalid_rows_after_dedup_null_or_blank,
       count(amount) AS "voucher_amount/non_null", count(*) - count(amount) AS "voucher_amount/null",
       avg(amount) AS "voucher_amount/mean", stddev(amount) AS "voucher_amount/std",
       min(amount) AS "voucher_amount/min", max(amount) AS "voucher_amount/max",
       quantile_cont(amount, 0.25) AS "voucher_amount/p25", quantile_cont(amount, 0.5) AS "voucher_amount/p50",
       quantile_cont(amount, 0.75) AS "voucher_amount/p75",
       count(*) FILTER (orders IS NULL) AS "total_orders/blank",
       count(amount) FILTER (orders IS NULL) AS "total_orders/blank_with_amount",
       count(*) FILTER (orders IS NULL AND amount IS NULL) AS "total_orders/blank_and_null_amount",
       count(DISTINCT orders) + 1 AS "total_orders/distinct_including_blank",
       count(*) FILTER (repeated) AS "full_duplicates/removed",
       count(*) FILTER (NOT repeated) AS "full_duplicates/rows_after_dedup",
       (SELECT sum(n) FROM (SELECT count(*) AS n FROM history GROUP BY country, amount, sent, first, last, orders)
        WHERE n > 1) AS "full_duplicates/rows_involved"
FROM history""",
    "peru/": """
SELECT count(*) AS "rows", count(amount) AS amount_not_null, count(*) - count(amount) AS amount_null,
       count(*) FILTER (orders IS NULL) AS blank_orders,
       count(amount) FILTER (orders IS NULL) AS blank_orders_with_amount,
       count(*) FILTER (orders = 0) AS zero_orders, count(amount) FILTER (orders = 0) AS zero_orders_with_amount,
       count(*) FILTER (orders = 1 AND first <> last) AS one_order_first_ne_last,
       count(amount) FILTER (orders > 1 OR (orders = 1 AND first = last)) AS kept_after_seed0_rules,
       count(*) - kept_after_seed0_rules AS removed_by_seed0_rules,
       count(*) FILTER (repeated) AS duplicates_removed,
       count(amount) FILTER (orders IS NOT NULL) AS rows_not_null_not_blank,
       count(amount) FILTER (orders IS NOT NULL AND NOT repeated) AS rows_not_null_not_blank_dedup,
       count(amount) FILTER (last = first AND NOT repeated) AS rows_last_order_eq_first_order_not_null_dedup,
       count(amount) FILTER (orders IS NULL AND last = first AND NOT repeated)
           AS blank_and_last_eq_first_not_null_dedup,
       count(*) FILTER (sent < last) AS timestamp_before_last_order,
       count(*) FILTER (sent < first) AS timestamp_before_first_order,
       count(*) FILTER (sent >= last) AS timestamp_not_before_last_order,
       count(amount) FILTER (orders IS NOT NULL AND sent < last) AS not_null_not_blank_last_order_after_timestamp,
       count(amount) FILTER (orders IS NOT NULL AND sent > last) AS not_null_not_blank_timestamp_after_last_order,
       count(*) FILTER (orders = 1 AND amount = 2640) AS one_order_2640,
       count(*) FILTER (orders = 1 AND amount = 3520) AS one_order_3520
FROM history WHERE country = 'Peru'""",
    "peru/after_dropping_timestamp_before_last_order/": """
SELECT count(*) AS "rows", count(amount) AS amount_count, avg(amount) AS amount_mean, stddev(amount) AS amount_std,
       avg(orders0) AS "orders_blank_as_zero/mean", stddev(orders0) AS "orders_blank_as_zero/std",
       quantile_cont(orders0, 0.25) AS "orders_blank_as_zero/p25",
       quantile_cont(orders0, 0.5) AS "orders_blank_as_zero/p50",
       quantile_cont(orders0, 0.75) AS "orders_blank_as_zero/p75", max(orders0) AS "orders_blank_as_zero/max"
FROM history WHERE country = 'Peru' AND sent >= last""",
}
PERU = "FROM history WHERE country = 'Peru'"
VALID = f"{PERU} AND amount IS NOT NULL AND orders IS NOT NULL AND NOT repeated"
BY_AMOUNT = "SELECT coalesce(CAST(CAST(amount AS INTEGER) AS VARCHAR), 'null'),"
TABLES = {
    "rows_by_country": "SELECT country, count(*) FROM history GROUP BY ALL",
    "total_orders/rows_by_value": "SELECT CAST(orders AS VARCHAR), count(*) FROM history GROUP BY ALL",
    "total_orders/rows_with_amount_by_value": "SELECT CAST(orders AS VARCHAR), count(amount) FROM history GROUP BY ALL",
    "peru/amount_counts": f"{BY_AMOUNT} count(*) {PERU} GROUP BY ALL",
    "peru/max_orders_by_amount": f"{BY_AMOUNT} max(orders) {PERU} GROUP BY ALL",
    "peru/zero_orders_by_amount": f"SELECT amount0, count(*) {PERU} AND orders = 0 GROUP BY ALL",
    "peru/frequent_blank_as_zero_null_as_zero": f"SELECT segment, amount0, count(*) {PERU} GROUP BY ALL",
    "peru/frequent_dropped_dedup": f"SELECT segment, amount0, count(*) {VALID} GROUP BY ALL",
    "peru/recency_event_floor_days_dropped_dedup": f"""
SELECT CASE WHEN floor_days BETWEEN 30 AND 60 THEN '30-60' WHEN floor_days BETWEEN 61 AND 90 THEN '61-90'
            WHEN floor_days BETWEEN 91 AND 120 THEN '91-120' END, amount0, count(*) {VALID} GROUP BY ALL""",
    "peru/recency_event_calendar_days_utc_plus4_null_as_zero": f"""
SELECT CASE WHEN days4 BETWEEN 30 AND 59 THEN '30-59' WHEN days4 BETWEEN 90 AND 119 THEN '90-119' ELSE 'other' END,
       amount0, count(*) {PERU} GROUP BY ALL""",
    "peru/days_since_last_order_calendar_utc_plus4": f"SELECT days4, count(*) {PERU} GROUP BY ALL",
    "peru/events_by_month_utc_plus4": f"SELECT strftime(sent + INTERVAL 4 HOUR, '%Y-%m'), count(*) {PERU} GROUP BY ALL",
    "peru/last_minus_first_2640_by_bucket_open_interval": f"""
SELECT CASE WHEN tenure BETWEEN 31 AND 59 THEN '31..59' WHEN tenure BETWEEN 62 AND 89 THEN '62..89'
            WHEN tenure BETWEEN 92 AND 119 THEN '92..119' WHEN tenure BETWEEN 122 AND 179 THEN '122..179'
            WHEN tenure > 180 THEN '>180' ELSE '0-30_and_bucket_edges' END, count(*)
{PERU} AND amount = 2640 GROUP BY ALL""",
    "peru/orders_2640_open_interval": f"""
SELECT CASE WHEN orders BETWEEN 1 AND 3 THEN '1..3' WHEN orders BETWEEN 6 AND 12 THEN '6..12'
            WHEN orders BETWEEN 15 AND 36 THEN '15..36' END, count(*) {PERU} AND amount = 2640 GROUP BY ALL""",
}


def measure(file: Path) -> dict[str, float]:
    """Return every figure that this module defines, by its path, rounded to six places as the published ones are."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(HISTORY, {"file": str(file)})
        found: dict[str, float] = {}
        for path, statement in COUNTS.items():
            cursor = connection.execute(statement)
            names = [path + column[0] for column in cursor.description or []]
            found |= dict(zip(names, cursor.fetchall()[0], strict=True))
        for path, statement in TABLES.items():
            found |= {"/".join([path, *map(str, keys)]): n for *keys, n in connection.execute(statement).fetchall()}
    # 12 instead of 12.0, as in the facts
    return {path: int(n) if n == int(n) else round(n, 6) for path, n in found.items() if n is not None}


def flat(facts: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten nested facts to figures, named by path: {"peru": {"rows": 3}} becomes {"peru/rows": 3}."""
    figures: dict[str, Any] = {}
    for key, value in facts.items():
        figures |= flat(value, f"{path}{key}/") if isinstance(value, dict) else {path + key: value}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.figures", description="Compare a file with published figures."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("facts", type=Path, nargs="?", default=PUBLISHED)
    args = parser.parse_args()
    published, measured = flat(json.loads(args.facts.read_text())), measure(args.file)
    known = {path: value for path, value in published.items() if isinstance(value, int | float)}
    equal = 0
    print(f"{'figure':<75} {'published':>16} {'measured':>16}  equal")
    for path, value in published.items():
        if path not in known:
            print(f"{path:<75} {'':>16} {'not measured':>16}")
            continue
        same = measured.get(path) == value
        equal += same
        shown = measured.get(path, "not measured")
        print(f"{path:<75} {value!s:>16} {shown!s:>16}  {'yes' if same else 'NO'}")
    print(f"{equal} of {len(known)} figures equal")
    sys.exit(equal != len(known))


if __name__ == "__main__":
    main()
