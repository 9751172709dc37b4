"""The 95 % intervals by send cover what they claim to, on a history and on synthetic worlds with a known truth.

The history is that of VOUCHER_REAL_DATA, else the sample. Its send days are split into random halves, which differ by
chance alone: the interval of the difference of the two shares has to include 0. A world is a segment whose true share
is known, with a given correlation between the vouchers of one send.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from tabulate import tabulate

from pipeline.evaluate.engine import evaluate, open_duckdb
from pipeline.evaluate.totals import aggregate
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.rules.sql.intervals import INTERVALS, LEAST_SENDS, Z
from pipeline.rules.sql.tallies import PLACED
from sample.history import sample

HISTORY, CORRELATIONS = "random halves of the send days", (0.0, 0.01, 0.1)
HALVES, WORLDS = 400, 500
LEAST, MOST, LEAST_OF_ONE = 0.93, 0.97, 0.88
SENDS, SEND_SIZES, TRUTH = 40, (20, 400), (0.4, 0.3, 0.3)  # of a world; TRUTH: the shares of its three amounts

SPLIT = f"""CREATE TABLE placed AS
  WITH votes AS (
    SELECT country_code || ', ' || segment_name || ' ' || segment AS name, voucher_amount, sent, rows
    FROM whole WHERE segment IS NOT NULL AND voucher_amount IS NOT NULL
  ), drawn AS (
    SELECT name, sent, trial,
      row_number() OVER (PARTITION BY name, trial ORDER BY hash(name, trial, sent)) % 2 AS half
    FROM (SELECT DISTINCT name, sent FROM votes) CROSS JOIN range(?) AS trials(trial)
    WHERE name IN (SELECT name FROM votes GROUP BY name HAVING count(DISTINCT sent) >= 2 * {LEAST_SENDS})
  )
  SELECT name AS country_code, CAST(trial AS VARCHAR) AS segment_name, CAST(half AS VARCHAR) AS segment, sent,
    voucher_amount, rows
  FROM votes JOIN drawn USING (name, sent)"""
ANSWERS = """CREATE TABLE answers AS
  SELECT DISTINCT placed.country_code, placed.segment_name, placed.segment, found.voucher_amount, runner_up_amount
  FROM placed JOIN found ON placed.country_code =
    found.country_code || ', ' || found.segment_name || ' ' || found.segment"""


@dataclass(frozen=True)
class Result:
    """Shares of the intervals that cover the truth: of all, of the segment with the fewest, and of all by row."""

    what: str
    correlation: float
    segments: int
    intervals: int
    covered: float
    least: float
    by_row: float
    unclear: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, float]:
        return self.what, self.correlation


@contextmanager
def fixtures(folder: Path) -> Iterator[pa.Table | Path]:
    """Yield the history."""
    real = os.environ.get("VOUCHER_REAL_DATA")
    yield Path(real, "data.parquet.gzip") if real else sample()


def keys(fixtures: pa.Table | Path) -> list[tuple[str, float]]:
    return [(HISTORY, 0.0), *(("worlds", correlation) for correlation in CORRELATIONS)]


def trial(
    fixtures: pa.Table | Path, what: str, correlation: float, halves: int = HALVES, worlds: int = WORLDS
) -> Result:
    """Return how many of the intervals cover the truth."""
    return _history(fixtures, halves) if what == HISTORY else _worlds(correlation, worlds)


def _history(history: pa.Table | Path, halves: int) -> Result:
    rules, segments = RuleBook.load(), SegmentBook.load()
    with open_duckdb() as within, evaluate(history, rules, segments, within=within) as part:
        counted = part.tally()
    found = aggregate([counted], rules, segments).tables["segment"]
    with duckdb.connect() as connection:
        connection.register("counted", counted)
        connection.sql("CREATE TABLE tally AS SELECT *, nullif(matched <> 0, false) AS dropped_by FROM counted")
        connection.sql(f"CREATE VIEW whole AS {PLACED.format(kinds=', '.join(kind.name for kind in segments.kinds))}")
        connection.execute(SPLIT, [halves])
        connection.sql(ANSWERS)
        half = _intervals(connection)
    pairs = half.pivot(
        index=["country_code", "segment_name"], columns="segment", values=["share", "error", "row_error"]
    )
    difference = (pairs["share", "0"] - pairs["share", "1"]).abs()
    covered, by_row = (difference <= np.hypot(pairs[error, "0"], pairs[error, "1"]) for error in ("error", "row_error"))
    each = covered.groupby("country_code").mean()
    faults = [f"{covered.mean():.1%} are covered, not {LEAST:.0%} to {MOST:.0%}"] * (
        not LEAST <= covered.mean() <= MOST
    )
    faults += [f"{name}: only {share:.1%} are covered" for name, share in each[each < LEAST_OF_ONE].items()]
    unclear = [
        f"{row['country_code']}, {row['segment_name']} {row['segment']}"
        for row in found.to_pylist()
        if row["clear"] is False
    ]
    counts = (len(each), len(covered), float(covered.mean()), float(each.min()), float(by_row.mean()))
    return Result(HISTORY, 0.0, *counts, tuple(sorted(unclear)), tuple(faults))


def _worlds(correlation: float, worlds: int) -> Result:
    random = np.random.default_rng(round(1000 * correlation))
    sizes = random.integers(*SEND_SIZES, (worlds, SENDS))
    shares = np.broadcast_to(TRUTH, (worlds, SENDS, len(TRUTH)))
    if correlation:
        shares = random.dirichlet(np.array(TRUTH) * (1 / correlation - 1), (worlds, SENDS))
    votes = random.multinomial(sizes, shares)
    world, sent, amount = (axis.ravel() for axis in np.indices(votes.shape))
    placed = pd.DataFrame({"country_code": world, "sent": sent, "voucher_amount": amount, "rows": votes.ravel()})
    placed = placed.assign(segment_name="", segment="")
    answers = pd.DataFrame({"country_code": range(worlds), "voucher_amount": 0, "runner_up_amount": 1})
    answers = answers.assign(segment_name="", segment="")
    with duckdb.connect() as connection:
        connection.register("placed", placed)
        connection.register("answers", answers)
        found = _intervals(connection)
    off = (found["share"] - TRUTH[0]).abs()
    covered = float((off <= found["error"]).mean())
    faults = (f"only {covered:.1%} are covered",) * (covered < LEAST)
    return Result(
        "worlds", correlation, worlds, worlds, covered, covered, float((off <= found["row_error"]).mean()), (), faults
    )


def _intervals(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return each segment's share, the half width of its interval, and that of an interval by row."""
    connection.execute(f"CREATE TABLE intervals AS {INTERVALS}")
    return connection.execute(
        f"""WITH counted AS (
            SELECT country_code, segment_name, segment, (share_low + share_high) / 2 AS share,
                (share_high - share_low) / 2 AS error, sum(rows) AS votes
            FROM intervals JOIN placed USING (country_code, segment_name, segment) GROUP BY ALL
        )
        SELECT *, {Z} * sqrt(share * (1 - share) / votes) AS row_error FROM counted"""
    ).df()


def table(results: Sequence[Result]) -> str:
    headers = ("", "correlation", "segments", "intervals", "covered", "least of one", "by row")
    lines = [
        (
            *(each.what, each.correlation, each.segments, each.intervals),
            *(f"{share:.1%}" for share in (each.covered, each.least, each.by_row)),
        )
        for each in results
    ]
    unclear = [name for each in results for name in each.unclear]
    return f"{tabulate(lines, headers)}\n\nnot clear: {'; '.join(unclear) or 'none'}"


def short(results: Sequence[Result]) -> list[str]:
    return []
