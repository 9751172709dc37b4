"""Shares and means of any rows with their 95 % intervals by send, as the published answers have them.

For notebooks and the workbench. A row is of the send of its UTC day in `timestamp`; rows without one are one send.
"""

from collections.abc import Sequence

import duckdb
import numpy as np
import pandas as pd

from pipeline.rules.intervals import INTERVALS, LEAST_SENDS, Z


def share_by_send(rows: pd.DataFrame, by: Sequence[str], hit: str) -> pd.DataFrame:
    """Return the share of the rows with `hit`, for each group of the columns `by`: share, low, high, sends.

    `hit` is a column of booleans. Below ten sends low and high are missing.
    """
    counted = rows.assign(sent=rows["timestamp"].dt.floor("D"), hit=rows[hit].astype(int))
    counted = counted.groupby([*by, "sent", "hit"], dropna=False).size().rename("rows").reset_index()
    group = counted.groupby(list(by), dropna=False, sort=False).ngroup()
    placed = counted[["sent", "rows"]].assign(
        country_code=group, segment_name="", segment="", voucher_amount=counted["hit"]
    )
    answers = placed[["country_code", "segment_name", "segment"]].drop_duplicates()
    answers = answers.assign(voucher_amount=1, runner_up_amount=0)
    with duckdb.connect() as connection:
        connection.register("placed", placed)
        connection.register("answers", answers)
        found = connection.sql(
            f"SELECT country_code, share_low AS low, share_high AS high, sends FROM ({INTERVALS})"
        ).df()
    keys = counted[list(by)].groupby(group).first()
    share = rows.groupby(list(by), dropna=False)[hit].mean().rename("share")
    return keys.join(found.set_index("country_code")).set_index(list(by)).join(share)[["share", "low", "high", "sends"]]


def mean_by_send(rows: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Return the mean of a column of numbers, for each group of the columns `by`: mean, low, high, sends.

    The interval is that of a ratio of cluster totals, as in `pipeline.rules.intervals`, but not cut off at 0 and 1, so
    that it also holds for a difference: pass each row's difference, and the two sides are compared send by send. Below
    ten sends low and high are missing.
    """
    sends = rows.assign(sent=rows["timestamp"].dt.floor("D")).groupby([*by, "sent"], dropna=False)[value]
    totals = pd.DataFrame({"sum": sends.sum(), "rows": sends.size()}).reset_index()
    groups = totals.groupby(list(by), dropna=False)
    mean = groups["sum"].transform("sum") / groups["rows"].transform("sum")
    totals["squared"] = (totals["sum"] - mean * totals["rows"]) ** 2
    groups = totals.groupby(list(by), dropna=False)
    found = pd.DataFrame({"mean": groups["sum"].sum() / groups["rows"].sum(), "sends": groups.size()})
    few = found["sends"] < LEAST_SENDS
    correction = found["sends"] / (found["sends"] - 1).where(~few)
    error = Z * np.sqrt(correction * groups["squared"].sum()) / groups["rows"].sum()
    found["low"], found["high"] = found["mean"] - error, found["mean"] + error
    return found[["mean", "low", "high", "sends"]]
