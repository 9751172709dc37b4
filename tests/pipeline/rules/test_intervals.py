"""How sure an answer is: the interval of its share by send, and whether its lead is clear."""

import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from pipeline.rules.sql.intervals import LEAST_SENDS, Z
from tests.pipeline.rules.test_segments import answer, counted

NOON = datetime(2020, 3, 1, 12)
KIND, SEGMENT = "frequent_segment", "5-13"


def sent(day: int | None, amount: float, rows: int = 1) -> list[dict[str, Any]]:
    """Return rows of one send: on this day, or without a timestamp."""
    timestamp = None if day is None else str(NOON + timedelta(days=day))
    return [{"timestamp": timestamp, "voucher_amount": amount, "total_orders": "7"}] * rows


def found(*sends: list[dict[str, Any]]) -> dict[str, Any]:
    return answer(counted(*(row for rows in sends for row in rows)), KIND, SEGMENT)


@pytest.mark.parametrize("seed", range(3))
def test_the_error_is_the_cluster_robust_one(seed: int) -> None:
    """Share, lead and their errors are those of a regression on a constant with clusters, as statsmodels calculates it.

    Its small-sample factor for k clusters and one coefficient is k / (k - 1), as here.
    """
    draw = random.Random(seed)
    rows = [
        sent(day, amount, draw.randint(0, 12) + (amount == 2640)) for day in range(15) for amount in (2640, 3520, 5720)
    ]
    flat = [row for send in rows for row in send]
    row = found(*rows)
    amounts, days = np.array([each["voucher_amount"] for each in flat]), [each["timestamp"] for each in flat]

    def fit(values: np.ndarray) -> tuple[float, float]:
        model = sm.OLS(values, np.ones(len(values)))
        fitted = model.fit(cov_type="cluster", cov_kwds={"groups": np.unique(days, return_inverse=True)[1]})
        return float(fitted.params[0]), float(fitted.bse[0])

    won = (amounts == float(row["voucher_amount"])).astype(float)
    share, error = fit(won)
    lead, lead_error = fit(won - (amounts == float(row["runner_up_amount"])))

    assert row["sends"] == 15
    assert (row["share_low"], row["share_high"]) == pytest.approx((share - Z * error, share + Z * error), abs=1e-9)
    assert row["clear"] is (lead > Z * lead_error)


def test_below_ten_sends_there_is_no_interval() -> None:
    """With nine sends there is no interval and no verdict; the tenth brings both."""
    sends = [sent(day, amount) for day in range(LEAST_SENDS) for amount in (2640, 2640, 3520)]
    nine, ten = found(*sends[:-3]), found(*sends)
    assert (nine["sends"], nine["share_low"], nine["share_high"], nine["clear"]) == (9, None, None, None)
    assert (ten["sends"], ten["clear"]) == (10, True)
    assert ten["share_low"] == pytest.approx(2 / 3) == ten["share_high"]


def test_rows_without_a_timestamp_are_one_send() -> None:
    """Rows without a timestamp count in the share, and are one send of their own."""
    sends = [*(sent(day, 2640) for day in range(9)), sent(None, 2640, 3), sent(None, 3520)]
    assert (found(*sends)["sends"], found(*sends)["rows"]) == (10, 13)


def test_an_interval_ends_at_0_and_1() -> None:
    """An interval never goes beyond 0 and 1; without another amount it has no width, and the lead is clear."""
    alone = found(*(sent(day, 2640) for day in range(10)))
    assert (alone["share_low"], alone["share_high"], alone["clear"]) == (1, 1, True)
    wide = found(*(sent(day, 2640, 20 if day == 0 else 1) for day in range(10)), sent(1, 3520))
    assert 0 < wide["share_low"] < wide["share_high"] == 1


def test_a_tie_is_not_clear() -> None:
    """Of two amounts that were used as often, none has a clear lead."""
    tie = found(*(sent(day, amount) for day in range(12) for amount in (2640, 3520)))
    assert (tie["tied"], tie["clear"]) == (True, False)


def test_one_send_makes_no_lead() -> None:
    """A lead that comes from one of twenty equal sends is not clear, however many rows the sends have."""
    ties = [sent(day, amount, 100) for day in range(1, 20) for amount in (2640, 3520)]
    row = found(*ties, sent(0, 2640, 200))
    assert (row["uses"], row["runner_up_uses"], row["clear"]) == (2100, 1900, False)


def test_a_segment_without_votes_has_no_send() -> None:
    """The country's amount, which answers for a segment without votes, has no sends and no interval."""
    row = answer(counted(*sent(0, 2640)), KIND, "38+")
    assert (row["basis"], row["sends"], row["share_low"], row["clear"]) == ("country", 0, None, None)
