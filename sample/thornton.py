"""A real voucher lottery: R. Thornton, "The Demand for, and Impact of, Learning HIV Status", American Economic Review
98(5), 2008. In rural Malawi, people drew a voucher of random value for collecting the result of a test.

The package `causaldata` ships the data (MIT licence); nothing of it is copied.
"""

from importlib.resources import files

import pandas as pd

BINS = (0, 0.5, 1, 2, 3)  # USD: the upper bound of each group of values, inclusive; the first is no voucher at all


def thornton() -> pd.DataFrame:
    """Return 2,834 people with known outcomes.

    Columns: voucher_amount, the upper bound of the voucher's group in USD; unit_cost, its own value; redeemed, whether
    the result was collected; propensity, the share of the people in this group, the same for all because a lottery
    decided; cluster, the village (four people without one are a cluster each); distvct, the distance in km; age.
    """
    people = pd.read_stata(str(files("causaldata") / "thornton_hiv" / "thornton_hiv.dta"))
    people = people.dropna(subset=["got", "tinc"]).reset_index(drop=True)
    amount = pd.cut(people["tinc"], [-1, *BINS], labels=BINS).astype(float)
    village = people["villnum"].map("{:.0f}".format)
    return people[["distvct", "age"]].assign(
        voucher_amount=amount,
        unit_cost=people["tinc"].astype(float),
        redeemed=people["got"] == 1,
        propensity=amount.map(amount.value_counts(normalize=True)),
        cluster=village.where(people["villnum"].notna(), "person " + people.index.astype(str)),
    )
