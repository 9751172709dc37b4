"""Shares of any rows with their 95 % intervals by send, by the SQL that the published answers use. For notebooks."""

from collections.abc import Sequence

import duckdb
import pandas as pd

from pipeline.rules.intervals import INTERVALS


def share_by_send(rows: pd.DataFrame, by: Sequence[str], hit: str) -> pd.DataFrame:
    """Return the share of the rows with `hit`, for each group of the columns `by`: share, low, high, sends.

    `hit` is a column of booleans; a row is of the send of its UTC day in `timestamp`. Below ten sends low and high are
    missing.
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
