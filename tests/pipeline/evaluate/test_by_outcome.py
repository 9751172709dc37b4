"""What vouchers did in any rows: the published figures of a real lottery, and the errors of an independent program."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from pipeline.evaluate.by_outcome import effects
from pipeline.rules.sql.effects import HEAVIEST, LEAST_CLUSTERS
from pipeline.rules.sql.intervals import Z
from sample.thornton import BINS, thornton


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return thornton()


def test_the_figures_of_a_real_lottery(people: pd.DataFrame) -> None:
    """R. Thornton's experiment has the shares and the costs of a further redemption that notebook 04 states: the amount
    that most people redeemed is not the one that buys a redemption for the least.
    """
    found = effects(people)

    assert found.index.tolist() == list(BINS)
    assert found["known"].tolist() == [623, 560, 580, 699, 372]
    assert (100 * found["share"]).round(1).tolist() == [33.9, 67.3, 77.2, 86.3, 85.2]
    assert found["further_cost"].round(2).dropna().tolist() == [0.65, 1.6, 2.8, 4.3]
    assert found["compared_with"].dropna().unique().tolist() == [0]
    assert set(found["evidence"]) == {"effect"}
    assert found["refused"].isna().all()
    assert (found["share"].idxmax(), found["further_cost"].idxmin()) == (2, 0.5)


def test_without_propensities_it_is_an_association(people: pd.DataFrame) -> None:
    """The same shares, as all propensities are equal in an amount, but no cost of a further redemption."""
    known, unknown = effects(people), effects(people.drop(columns="propensity"))
    assert set(unknown["evidence"]) == {"association"}
    assert unknown["further_cost"].isna().all()
    one_unknown = effects(people.assign(propensity=people["propensity"].where(people.index > 0)))
    for each in (unknown, one_unknown):
        pd.testing.assert_series_equal(each["share"], known["share"], rtol=1e-12)
        assert set(each["evidence"]) == {"association"}


def of_statsmodels(rows: pd.DataFrame, amounts: list[float], weights: pd.Series) -> tuple[float, float, int]:
    """Return the share redeemed of the last amount, or its difference to the first of two; its error; the clusters.

    A weighted regression on a constant and, for two amounts, on being the last one. `cov_type="cluster"` multiplies
    the variance by a small-sample factor of G / (G - 1) * (N - 1) / (N - K), with G clusters, N rows and K columns. The
    tables have G / (G - 1) alone, so that rows counted together are the same as rows counted one by one.
    """
    used = rows[rows["voucher_amount"].isin(amounts)]
    design = pd.DataFrame({"constant": 1.0}, index=used.index)
    if len(amounts) > 1:
        design["is_last"] = (used["voucher_amount"] == amounts[-1]).astype(float)
    clusters = pd.factorize(used["cluster"])[0]
    model = sm.WLS(used["redeemed"].astype(float), design, weights=weights[used.index])
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": True})
    factor = (len(used) - 1) / (len(used) - design.shape[1])
    return fitted.params.iloc[-1], Z * fitted.bse.iloc[-1] / np.sqrt(factor), clusters.max() + 1


@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_those_of_statsmodels(people: pd.DataFrame, weighted: bool) -> None:
    """Shares, differences and their errors are those of statsmodels' cluster-robust WLS, without its factor for K."""
    likely = np.random.default_rng(1).choice([0.2, 0.25, 0.5], len(people)).round(9)
    rows = people.assign(propensity=likely) if weighted else people.drop(columns="propensity")
    weights = 1 / rows["propensity"] if weighted else pd.Series(1.0, rows.index)
    found = effects(rows)

    for amount, line in found.iterrows():
        share, error, clusters = of_statsmodels(rows, [amount], weights)
        assert (line["share"], line["clusters"]) == (pytest.approx(share, abs=1e-9), clusters)
        assert line["share_high"] - line["share"] == pytest.approx(error, abs=1e-9)
        assert line["share"] - line["share_low"] == pytest.approx(error, abs=1e-9)
    for amount, line in found.dropna(subset=["difference"]).iterrows():
        difference, error, _ = of_statsmodels(rows, [line["compared_with"], amount], weights)
        assert line["difference"] == pytest.approx(difference, abs=1e-9)
        assert line["difference_high"] - line["difference"] == pytest.approx(error, abs=1e-9)
        assert line["difference"] - line["difference_low"] == pytest.approx(error, abs=1e-9)


def test_the_costs_are_weighted_means(people: pd.DataFrame) -> None:
    """A voucher costs its own value when it is redeemed; a further redemption, the difference of the costs of two
    amounts by that of their shares.
    """
    weight = people["distvct"].rank(pct=True).clip(0.2, 1)
    found = effects(people.assign(propensity=1 / (1 + weight)))
    for amount, line in found.iterrows():
        rows = people[people["voucher_amount"] == amount]
        cost = np.average(rows["unit_cost"] * rows["redeemed"], weights=1 + weight[rows.index])
        assert line["cost"] == pytest.approx(cost, abs=1e-6)
        if amount:
            expected = (line["cost"] - found.loc[0, "cost"]) / (line["share"] - found.loc[0, "share"])
            assert line["further_cost"] == pytest.approx(expected)


DAYS = pd.date_range("2020-05-01", periods=12, tz="UTC")


def days(**columns: object) -> pd.DataFrame:
    """Return 20 outcomes for each of 12 days, one at every hour from midnight UTC."""
    times = pd.DatetimeIndex([day + pd.Timedelta(hours=hour) for day in DAYS for hour in range(20)])
    got = np.random.default_rng(2).random(len(times)) < 0.4
    return pd.DataFrame({"timestamp": times, "voucher_amount": 5.0, "redeemed": got}).assign(**columns)


def test_the_default_cluster_is_the_utc_day() -> None:
    """Without a cluster, outcomes of a UTC day belong together, as those of a cluster of this name would."""
    rows = days()
    by_name = effects(rows.assign(cluster=rows["timestamp"].dt.strftime("day %d")))
    pd.testing.assert_frame_equal(effects(rows), by_name)
    assert effects(rows).loc[5.0, "clusters"] == len(DAYS)
    later = rows.assign(timestamp=rows["timestamp"] + pd.Timedelta(hours=5))
    assert effects(later).loc[5.0, "clusters"] == len(DAYS) + 1  # the last of 20 hours from 5:00 is the next day's
    some = rows.assign(cluster=pd.Series("village", rows.index).where(rows.index < 50))
    assert effects(some).loc[5.0, "clusters"] == 1 + 10  # the 3rd day is half the village's


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (days().iloc[: 9 * 20], f"only 9 of the {LEAST_CLUSTERS} clusters needed"),
        (days().iloc[::3], "worth only 80 of the 100 customers needed"),
        (days(propensity=[1 / 100, *[0.5] * 239]), "worth only 30 of the 100 customers needed"),
        (
            days(propensity=[1 / 28, *[0.5] * 239]),
            f"one customer weighs more than {HEAVIEST} times the mean",
        ),
    ],
)
def test_what_is_refused(rows: pd.DataFrame, why: str) -> None:
    """With too few clusters or customers, or one that decides all, there is a reason and no figure."""
    found = effects(rows).loc[5.0]
    assert found["refused"] == why
    assert found[["share", "share_low", "share_high", "cost", "difference", "further_cost"]].isna().all()


def test_groups_are_apart() -> None:
    """Each group of the columns `by` has its own lines, a missing name included; unknown outcomes count nowhere."""
    rows = days(country="Peru", group=1)
    rows["redeemed"] = rows["redeemed"].astype("boolean").where(rows.index % 4 > 0)
    other = days(country=None, group=2, voucher_amount=7.5)

    found = effects(pd.concat([rows, other], ignore_index=True), by=["country", "group"])

    assert found.index.names == ["country", "group", "voucher_amount"]
    assert found["known"].tolist() == [180, 240]
    pd.testing.assert_frame_equal(found.xs("Peru").xs(1), effects(rows))
    pd.testing.assert_frame_equal(found.xs(2, level="group").droplevel("country"), effects(other))
