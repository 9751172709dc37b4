"""Histories from a lottery, with redemption rates that are known. Used by the proof `effects`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.evaluate.engine import evaluate, open_duckdb
from pipeline.evaluate.totals import Results, aggregate
from pipeline.rules.kinds import Kind, Segment
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook

DAYS, FIRST = 60, datetime(2026, 1, 1, 12)
BY_DAY = 0.03  # standard deviation of the redemption rate between days, for all of a day alike
AMOUNTS = (1000, 2000, 3000, 4000)
SEGMENTS = {"0-4": 2, "5-13": 7, "14-37": 20, "38+": 40}  # and the orders of a customer in it
CUSTOMERS = ((40, 160), (20, 80), (20, 80), (10, 40))  # a day, in each segment
LOTTERY = (0.2, 0.25, 0.3, 0.4)  # of the customers of each segment; twice as many in the second half of the days
KIND = "frequent_segment"
FIRST_DAY = 1_000_000 + (FIRST - datetime(1970, 1, 1)).days  # as `tallies.utc_day` numbers it


@dataclass(frozen=True)
class World:
    """Several histories. Axes: world, day, segment, amount; `planned` is the place of the amount that the plan gives.

    likely: the probability of an amount; sent, redeemed: vouchers.
    """

    likely: np.ndarray
    sent: np.ndarray
    redeemed: np.ndarray

    @property
    def planned(self) -> np.ndarray:
        return np.broadcast_to(np.arange(len(SEGMENTS)) % len(AMOUNTS), (len(self.sent), len(SEGMENTS)))

    def placed(self) -> pd.DataFrame:
        """Return the rows of the table `placed` (see `tallies`), a world as a country."""
        world, day, segment, amount = (axis.ravel() for axis in np.indices(self.sent.shape))
        likely = np.broadcast_to(self.likely, self.sent.shape).ravel()
        rows, redeemed = self.sent.ravel(), self.redeemed.ravel()
        found = pd.DataFrame(
            {
                "country_code": world,
                "segment_name": KIND,
                "segment": np.array([*SEGMENTS])[segment],
                "voucher_amount": np.array(AMOUNTS)[amount],
                "unit_cost": np.array(AMOUNTS, float)[amount],
                "sent": FIRST_DAY + day,
                "rows": rows,
                "known": rows,
                "redemptions": redeemed,
                "weighed": rows,
                "certain": 0,
                "weight": rows / likely,
                "weighted_redemptions": redeemed / likely,
                "weight_squared": rows / likely**2,
                "heaviest": 1 / likely,
            }
        )
        return found[rows > 0].assign(cluster=pd.Series(pd.NA, dtype="UInt64"))

    def answers(self, places: np.ndarray) -> pd.DataFrame:
        """Return rows of the table `most_used`, with the amounts at these places of each world and segment."""
        world, segment = (axis.ravel() for axis in np.indices(places.shape))
        return pd.DataFrame(
            {
                "country_code": world,
                "segment_name": KIND,
                "segment": np.array([*SEGMENTS])[segment],
                "voucher_amount": np.array(AMOUNTS)[places.ravel()],
            }
        )

    def value(self, rates: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the true value of giving the amounts at these places, in each world."""
        customers = np.array(CUSTOMERS).sum(1)
        of_segment = rates[np.arange(len(SEGMENTS)), places]
        return np.asarray((of_segment * customers).sum(-1) / customers.sum())


def worlds(rates: np.ndarray, size: int) -> World:
    """Return so many histories with these rates, by segment and amount."""
    random = np.random.default_rng(11)
    customers = np.stack([random.integers(least, most + 1, (size, DAYS)) for least, most in CUSTOMERS], 2)
    share = np.outer(np.where(np.arange(DAYS) < DAYS // 2, 1, 2), LOTTERY)
    likely = np.repeat(share[:, :, None] / len(AMOUNTS), len(AMOUNTS), 2)
    segments = np.arange(len(SEGMENTS))
    likely[:, segments, segments % len(AMOUNTS)] += 1 - share
    sent = random.multinomial(customers, likely)
    by_day = random.normal(0, BY_DAY, (size, DAYS, 1, 1))
    return World(likely, sent, random.binomial(sent, np.clip(rates + by_day, 0, 1)))


def policies_of_a_run(one: World) -> pd.DataFrame:
    """Return the policies that a run publishes of the first of these histories."""
    parts = [one.redeemed[0], one.sent[0] - one.redeemed[0]]
    day, segment, amount = (np.tile(axis.ravel(), 2) for axis in np.indices(parts[0].shape))
    counts = np.concatenate([part.ravel() for part in parts])
    rows = pd.DataFrame(
        {
            "day": day,
            "orders": np.array([*SEGMENTS.values()])[segment],
            "voucher_amount": np.array(AMOUNTS, float)[amount],
            "redeemed": np.repeat([True, False], parts[0].size),
            "propensity": np.tile(one.likely.ravel(), 2),
        }
    )
    results = run(rows.loc[rows.index.repeat(counts)])
    found: pd.DataFrame = results.tables["policy"].to_pandas()
    return found[found["segment_name"] == KIND].set_index("policy").sort_index()


def run(rows: pd.DataFrame, choose: str = "most_used") -> Results:
    """Return what a run finds in these rows. Columns: day, orders, voucher_amount, redeemed, propensity (optional)."""
    kind = Kind(
        KIND,
        "total_orders",
        tuple(
            Segment(label, *bounds)
            for label, bounds in zip(SEGMENTS, ((0, 4), (5, 13), (14, 37), (38, None)), strict=True)
        ),
        choose,
    )
    times = [FIRST + timedelta(days=int(day)) for day in range(rows["day"].max() + 1)]
    history = {
        "timestamp": pa.array(times, pa.timestamp("us", "UTC")).take(pa.array(rows["day"])),
        "country_code": pa.repeat("Peru", len(rows)),
        "first_order_ts": pa.repeat("2025-01-01", len(rows)),
        "last_order_ts": pa.repeat("2025-12-01", len(rows)),
        "total_orders": pa.array(rows["orders"]),
        "voucher_amount": pa.array(rows["voucher_amount"]),
        "redeemed": pa.array(rows["redeemed"]),
    }
    if "propensity" in rows:
        history["propensity"] = pa.array(rows["propensity"], from_pandas=True)
    rules, segments = RuleBook(()), SegmentBook((kind,))
    with open_duckdb() as within, evaluate(pa.table(history), rules, segments, within=within) as part:
        return aggregate([part.tally()], rules, segments)
