"""The SQL that adds up tallies and finds the most used amounts. Run by `evaluate`, for notebooks and the DAG alike.

All that the answers need of a part is its *tally* (see `SegmentBook.tally`): one row for each distinct outcome, with
the number of rows. Tallies of parts are added up.
"""

from pipeline.rules.columns import ALL

A_DAY = 86_400_000_000  # microseconds


def utc_day(time: str) -> str:
    """Return SQL that numbers UTC days from before all possible times, so that // rounds down.

    A cast to DATE would consult the time zone's rules and take ten times as long.
    """
    return f"(epoch_us({time}) + {1_000_000 * A_DAY}) // {A_DAY}"


# What is added up of the rows whose outcome is known. `weight` is 1 / propensity, of the `weighed` rows that have one
# below 1; those of `certain` rows could not have been otherwise. Decimals, unlike floating-point numbers, have the same
# sum in any order.
TOTAL = "DECIMAL(37, 9)"
WEIGHT = "CAST(CASE WHEN redeemed IS NOT NULL AND propensity < 1 THEN 1 / propensity END AS DECIMAL(19, 9))"
SQUARED = "CAST(CASE WHEN redeemed IS NOT NULL AND propensity < 1 THEN 1 / propensity ** 2 END AS DECIMAL(28, 9))"
OUTCOME_SUMS = {
    "known": "count(redeemed)",
    "redemptions": "count_if(redeemed)",
    "weighed": f"count({WEIGHT})",
    "certain": "count_if(redeemed IS NOT NULL AND propensity = 1)",
    "weight": f"sum({WEIGHT})",
    "weighted_redemptions": f"sum({WEIGHT}) FILTER (WHERE redeemed)",
    "weight_squared": f"sum({SQUARED})",
    "heaviest": f"max({WEIGHT})",
}
# Columns of the SQL of rules, tallies and segments, so no names of rules or kinds.
RESERVED = {*ALL, *OUTCOME_SUMS, "country_key", "matched", "dropped_by", "unreadable", "rows", "sent"}
RESERVED |= {"data_from", "data_to", "dropped_row", "unreadable_row"}
HEAVIEST = "DECIMAL(19, 9)"
TYPES = {
    name: "BIGINT" if "count" in sql else HEAVIEST if name == "heaviest" else TOTAL
    for name, sql in OUTCOME_SUMS.items()
}
NO_OUTCOMES = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in ({"cluster": "UBIGINT"} | TYPES).items())


def added_up(outcomes: bool = True) -> str:
    """Return a SELECT that adds up `tallies`: those of batches to that of a part, or those of parts to that of a run.

    outcomes: whether they have the columns of outcomes.
    """
    sums = {name: f"CAST({'max' if name == 'heaviest' else 'sum'}({name}) AS {kind})" for name, kind in TYPES.items()}
    return f"""SELECT * REPLACE (CAST(sum(rows) AS BIGINT) AS rows, min(data_from) AS data_from,
    max(data_to) AS data_to, min(dropped_row) AS dropped_row, min(unreadable_row) AS unreadable_row
    {"".join(f", {added} AS {name}" for name, added in sums.items() if outcomes)})
  FROM tallies GROUP BY ALL"""


# From the tally of all parts and the segments (a table `defined`) to the published tables. An amount that is NULL, or a
# measure in no segment, doesn't vote.
PLACED = f"""SELECT country_code, segment_name, segment, voucher_amount, sent, rows, {", ".join(OUTCOME_SUMS)}, cluster,
    CAST(voucher_amount AS DOUBLE) AS unit_cost
  FROM (SELECT * FROM tally WHERE dropped_by IS NULL)
  UNPIVOT INCLUDE NULLS (segment FOR segment_name IN ({{kinds}}))"""

TOTALS = """SELECT CAST(coalesce(sum(rows), 0) AS BIGINT) AS rows_in,
    CAST(coalesce(sum(rows) FILTER (WHERE dropped_by IS NULL), 0) AS BIGINT) AS rows_kept,
    min(data_from) FILTER (WHERE dropped_by IS NULL) AS data_from,
    max(data_to) FILTER (WHERE dropped_by IS NULL) AS data_to
  FROM tally"""

OUTCOMES = """SELECT coalesce(country_code, '') AS country_code, rule,
    CAST(coalesce(sum(rows) FILTER (WHERE matched), 0) AS BIGINT) AS matched,
    CAST(coalesce(sum(rows) FILTER (WHERE dropped_by = rule), 0) AS BIGINT) AS dropped,
    replace(left(coalesce(min(unreadable_row) FILTER (WHERE matched),
        CAST(min(dropped_row) FILTER (WHERE matched) AS VARCHAR)), 400), chr(0), '\\0') AS example
  FROM tally UNPIVOT (matched FOR rule IN ({rules})) GROUP BY ALL"""

A_VOTE = "segment IS NOT NULL AND voucher_amount IS NOT NULL"

UNPLACED = f"""SELECT country_code, segment_name,
    CAST(coalesce(sum(rows) FILTER (WHERE NOT ({A_VOTE})), 0) AS BIGINT) AS rows
  FROM placed GROUP BY ALL"""

VOTES = f"""SELECT country_code, segment_name, segment, voucher_amount, CAST(sum(rows) AS BIGINT) AS uses
  FROM placed WHERE {A_VOTE} GROUP BY ALL"""

VOTES_BY_COUNTRY = """SELECT *, sum(uses) OVER (PARTITION BY country_code) AS votes
  FROM (SELECT country_code, voucher_amount, sum(rows) AS uses
    FROM tally WHERE dropped_by IS NULL AND voucher_amount IS NOT NULL GROUP BY ALL)"""

# Most votes win, a tie goes to the smaller amount; a segment without a vote answers with its country's most used
# amount.
MOST_USED = """WITH ranked AS (
  SELECT *, CAST(sum(uses) OVER segment AS BIGINT) AS rows,
    row_number() OVER (segment ORDER BY uses DESC, voucher_amount) AS place
  FROM votes WINDOW segment AS (PARTITION BY country_code, segment_name, segment)
), country AS (
  SELECT country_code, voucher_amount FROM votes_by_country
  QUALIFY row_number() OVER (PARTITION BY country_code ORDER BY uses DESC, voucher_amount) = 1
)
SELECT country_code, segment_name, segment, defined.position, measure, lower_bound, upper_bound,
    coalesce(winner.voucher_amount, country.voucher_amount) AS voucher_amount,
    coalesce(winner.uses, 0) AS uses, coalesce(winner.rows, 0) AS rows,
    second.voucher_amount AS runner_up_amount, second.uses AS runner_up_uses,
    CASE WHEN winner.uses IS NULL THEN 'country' ELSE 'segment' END AS basis,
    coalesce(second.uses = winner.uses, false) AS tied
  FROM country CROSS JOIN defined
  LEFT JOIN (SELECT * FROM ranked WHERE place = 1) AS winner USING (country_code, segment_name, segment)
  LEFT JOIN (SELECT * FROM ranked WHERE place = 2) AS second USING (country_code, segment_name, segment)"""
