"""Simulated outcomes for a history: as if a lottery had drawn some of its amounts, with a truth that is known.

Each voucher that was sent is what the plan gives. The lottery replaces it for a share of the vouchers, by an amount of
the country that is drawn evenly. So the probability of each amount is known, whatever the plan was.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import SAMPLE_MARK
from sample.history import SEED, sample

LEAST, GAIN = 0.1, 0.3  # the share of customers who redeem a voucher of nothing, and what a large one adds at most
BY_DAY = 0.02  # standard deviation of the share between the days of a country
LEAST_USED = 0.01  # share of the country's vouchers of an amount that takes part
OPEN = pd.Timedelta(days=7)  # the outcomes of the last days are not known yet


def redemption_rate(amount: "pd.Series[float]", usual: "pd.Series[float]") -> "pd.Series[float]":
    """Return the true share of customers who redeem these amounts, where `usual` is the country's median amount."""
    return LEAST + GAIN * (1 - (-amount / usual).map(np.exp))


def with_outcomes(history: pa.Table, share: float = 0.5, seed: int = SEED) -> pa.Table:
    """Return the history with amounts drawn for `share` of the vouchers, and the columns `redeemed` and `propensity`.

    The same seed gives the same table. Both are missing for rows without an amount, a country or a time, and
    `redeemed` for those of the last week.
    """
    rng = np.random.default_rng(seed)
    rows = history.select(["timestamp", "country_code", "voucher_amount"]).to_pandas()
    planned = pd.to_numeric(rows["voucher_amount"])
    usual = planned.groupby(rows["country_code"]).transform("median")
    given, likely = planned.copy(), pd.Series(1.0, rows.index)
    for _, amounts in planned.groupby(rows["country_code"]):
        used = amounts.value_counts(normalize=True)
        offered = np.sort(used.index[used >= LEAST_USED])
        draws = rng.random(len(amounts)) < share
        given[amounts.index[draws]] = rng.choice(offered, int(draws.sum()))
        got = given[amounts.index]
        likely[amounts.index] = (1 - share) * (got == amounts) + share / len(offered) * got.isin(offered)
    times = pd.to_datetime(rows["timestamp"], utc=True, format="ISO8601")
    day = rows["country_code"].astype("string").str.cat(times.dt.strftime(" %Y-%m-%d")).astype("category").cat.codes
    rate = redemption_rate(given, usual) + rng.normal(0, BY_DAY, day.max() + 1)[day]
    redeemed = pd.Series(rng.random(len(rows)) < rate, rows.index)
    known = planned.notna() & usual.notna() & times.notna()
    open_yet = times > times.max() - OPEN
    place = history.column_names.index("voucher_amount")
    drawn = history.set_column(place, "voucher_amount", pa.array(given.where(known, planned), from_pandas=True))
    return drawn.append_column(
        "redeemed", pa.array(redeemed.astype("boolean").where(known & ~open_yet), from_pandas=True)
    ).append_column("propensity", pa.array(likely.where(known), from_pandas=True))


def write_with_outcomes(file: Path, seed: int = SEED) -> int:
    """Write the sample with simulated outcomes, marked as the sample; return its number of rows."""
    history = with_outcomes(sample(seed), seed=seed)
    pq.write_table(history.replace_schema_metadata(dict([SAMPLE_MARK])), file)
    return int(history.num_rows)
