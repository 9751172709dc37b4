"""Means of any rows with their 95 % intervals by send, as the published answers have them. Called by `workbench`.

A row is of the send of its UTC day in `timestamp`; rows without one are one send.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.rules.sql.intervals import LEAST_SENDS, Z


def mean_by_send(rows: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Return the mean of a column of numbers, for each group of the columns `by`: mean, low, high, sends.

    The interval is that of a ratio of cluster totals, as in `rules.sql.intervals`, but not cut off at 0 and 1. So it
    also holds for a difference: pass each row's difference, and two sides are compared send by send. Below ten sends
    low and high are missing.
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
