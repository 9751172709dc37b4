"""What vouchers did in any rows, by the SQL that the published effects use. For notebooks and proofs."""

from collections.abc import Sequence

import duckdb
import pandas as pd

from pipeline.rules.sql.effects import EFFECTS, TRIED
from pipeline.rules.sql.tallies import OUTCOME_SUMS

OPTIONAL = {"propensity": float("nan"), "cluster": None}


def effects(rows: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return what each amount did, for each group of the columns `by`, with the columns of `voucher.effect`.

    Columns of `rows`: voucher_amount; redeemed (a boolean, or missing if not known yet); optional ones: propensity;
    cluster (default: the UTC day of `timestamp`); unit_cost, of one redemption (default: the amount).
    """
    found = rows.assign(**{name: value for name, value in OPTIONAL.items() if name not in rows})
    found["redeemed"] = found["redeemed"].astype("boolean")
    found["unit_cost"] = found.get("unit_cost", found["voucher_amount"])
    found["together"] = found["cluster"].astype("string").fillna(_day(rows))
    group = found.groupby(list(by), dropna=False).ngroup() if by else pd.Series(0, found.index)
    keys = found[list(by)].groupby(group).first()
    sums = ", ".join(f"{sql} AS {name}" for name, sql in OUTCOME_SUMS.items())
    with duckdb.connect() as connection:
        needed = found[["voucher_amount", "redeemed", "propensity", "unit_cost", "together"]].assign(number=group)
        connection.register("given", needed)
        connection.execute(
            f"""CREATE TABLE placed AS SELECT number AS country_code, '' AS segment_name, '' AS segment,
                voucher_amount, md5_number_lower(together) AS cluster, 0 AS sent, unit_cost, {sums}
            FROM (SELECT * REPLACE (CASE WHEN propensity > 0 THEN propensity END AS propensity) FROM given)
            GROUP BY ALL"""
        )
        connection.execute(f"CREATE TABLE tried AS {TRIED}")
        told = connection.sql(f"SELECT * EXCLUDE (segment_name, segment) FROM ({EFFECTS})").df()
    told = keys.join(told.set_index("country_code")).reset_index(drop=True)
    return told.sort_values([*by, "voucher_amount"]).set_index([*by, "voucher_amount"])


def _day(rows: pd.DataFrame) -> "pd.Series | str":
    if "timestamp" not in rows:
        return ""
    times = rows["timestamp"] if rows["timestamp"].dt.tz is None else rows["timestamp"].dt.tz_convert("UTC")
    days: pd.Series[str] = times.dt.strftime("%Y-%m-%d").fillna("")
    return days
