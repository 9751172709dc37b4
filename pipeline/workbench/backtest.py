"""The backtest: would answers learned from the first part of a history have been the vouchers sent later?

A hit says that the practice continued, not that the voucher worked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pipeline import PipelineError
from pipeline.evaluate.by_send import mean_by_send
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.workbench import counts
from pipeline.workbench.counts import AMOUNT, ANSWER
from pipeline.workbench.evidence import backdated, ranked, votes
from pipeline.workbench.pictures import GREY, Shown, panels

Books = SegmentBook | Mapping[str, SegmentBook]
LEARNED = 0.7  # the part of the vouchers, by time, that answers are learned from
NAMES = {
    "table": "the segments in use",
    "other": "the other segments",
    "country": "the country's most used amount, whatever the segment",
    "chance": "an amount drawn in the country's learned proportions",
    "hindsight": "each segment's most used amount of the tested part",
}
COMPARED = [*combinations(["table", "country", "chance"], 2), ("hindsight", "table"), ("other", "table")]
COMPARED += [("other", "country")]


class BacktestError(PipelineError):
    """A history in which nothing can be tested."""


@dataclass(frozen=True)
class Backtest(Shown):
    """The vouchers that were tested, and which answers hit them.

    split: the last learned time (UTC). learned, tested: vouchers before and after it. rows: a line for each tested
    voucher and kind: country_code, segment_name, segment, timestamp, voucher_amount; for each of NAMES a column with
    its hits (for chance, the probability of one); table_names, other_names and country_names, the amounts named.
    """

    split: pd.Timestamp
    learned: int
    tested: int
    rows: pd.DataFrame
    book: SegmentBook

    @property
    def sides(self) -> list[str]:
        """Those of NAMES that were tested."""
        return [name for name in NAMES if name in self.rows]

    def hits(self, by: Sequence[str] = ("segment_name",)) -> pd.DataFrame:
        """Return the hits in % of the vouchers tested, for each group of the columns `by`.

        Columns: tested; for each of NAMES its %; for table, other and country also low and high, the 95 % interval by
        send (missing below ten sends).
        """
        found = pd.DataFrame({"tested": self.rows.groupby(list(by), sort=False).size()})
        for side in self.sides:
            mean = 100 * mean_by_send(self.rows, by, side).reindex(found.index)
            found[f"{side} %"] = mean["mean"]
            if side in {"table", "other", "country"}:
                found[f"{side} low"], found[f"{side} high"] = mean["low"].clip(0, 100), mean["high"].clip(0, 100)
        return found

    def differences(self, by: Sequence[str] = ("segment_name",)) -> pd.DataFrame:
        """Return how many points more one side hits than another, for each group of the columns `by`.

        Columns: points; low and high, the 95 % interval by send of the paired difference; sends; clear, whether the
        interval leaves out 0 (missing below ten sends).
        """
        found = {}
        for one, other in COMPARED:
            if {one, other} <= {*self.sides}:
                apart = self.rows[one].astype(float) - self.rows[other].astype(float)
                mean = mean_by_send(self.rows.assign(apart=100 * apart), by, "apart")
                found[f"{one} - {other}"] = mean.rename(columns={"mean": "points"})
        lines = pd.concat(found, names=["difference"]).reorder_levels([*by, "difference"])
        clear = ((lines["low"] > 0) | (lines["high"] < 0)).astype("boolean").where(lines["low"].notna())
        order = self.rows.groupby(list(by), sort=False).size().index
        keys = [(*(key if isinstance(key, tuple) else (key,)), difference) for key in order for difference in found]
        return lines.assign(clear=clear).reindex(pd.MultiIndex.from_tuples(keys, names=lines.index.names))

    def where_they_differ(self) -> "Backtest":
        """Return the backtest of those vouchers for which the segments and the country name different amounts."""
        return replace(self, rows=self.rows[self.rows["table_names"] != self.rows["country_names"]])

    def __str__(self) -> str:
        """Return the split and each kind's hits, in words."""
        lines = [
            f"Learned from {self.learned:,} vouchers up to {self.split:%d %B %Y, %H:%M} UTC, tested on {self.tested:,} "
            "after it"
        ]
        measures = {kind.name: kind.measure.replace("_", " ") for kind in self.book.kinds}
        for name, line in self.hits().iterrows():
            others = ", ".join(f"{side} {line[f'{side} %']:.1f} %" for side in self.sides if side != "table")
            lines.append(f"By {measures[str(name)]}, the table hits {line['table %']:.1f} % ({others})")
        return "\n".join(lines)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the frames that a notebook shows."""
        return {"Hits in % of the tested vouchers": self.hits(), "Differences in points": self.differences()}

    def plot(self) -> Any:
        """Return the picture: the hits of table, country and chance in each segment, by country."""
        heading = "\n".join(str(self).splitlines()[1:])
        xlabel = (
            "hits in % of the later vouchers: table (dot, with 95 % interval), country's amount (ring), chance (cross)"
        )
        drawn = panels(sorted(self.rows["country_code"].unique()), self.book, heading, xlabel)
        hits = self.hits(ANSWER)
        places = np.arange(len(drawn.segments))
        for country, axis in drawn.axes.items():
            here = hits.loc[country].reindex(drawn.segments)
            axis.plot(here["chance %"], places, "x", color=GREY, markersize=5)
            axis.plot(here["country %"], places, "o", color="C1", markersize=7, fillstyle="none")
            axis.hlines(places, here["table low"], here["table high"], color="C0", linewidth=2.5)
            axis.plot(here["table %"], places, "o", color="C0", markersize=4)
            for place in places[here["tested"].isna()]:
                axis.text(50, place, "none to test", ha="center", va="center", fontsize=8, color=GREY)
            axis.set_xlim(-3, 103)
        return drawn.figure


def sent_when_written(placed: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a timestamp that is not before the day of the last order."""
    return placed.loc[list(placed["timestamp"].notna() & ~backdated(placed))]


def split(placed: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the first LEARNED of the vouchers by time, and those after them; backdated ones are left out.

    Raises BacktestError if one of the two is empty.
    """
    known = sent_when_written(placed)
    at = known["timestamp"].quantile(LEARNED)
    learn, test = known[known["timestamp"] <= at], known[known["timestamp"] > at]
    if learn.empty or test.empty:
        raise BacktestError(
            f"{len(known):,} vouchers can be split by time, at {known['timestamp'].nunique():,} times; a backtest "
            "needs vouchers at two times or more"
        )
    return learn, test


def backtest(placed: pd.DataFrame, book: SegmentBook, other: Books | None = None) -> Backtest:
    """Test the segments of `book` on the rows of `Workbench.placed`; also the kinds of `other` that it has too.

    other: one SegmentBook, or one for each country (a country without one has those of `book`). Vouchers that one of
    the two places in no segment are not tested. Raises BacktestError.
    """
    learn, test = split(placed)
    test = test.reset_index(drop=True)
    rows = _named(learn, test, book, book).rename(columns={"named": "table_names"})
    if other is not None:
        names = _named(learn, test, other, book).rename(columns={"named": "other_names", "segment": "other_segment"})
        rows = rows.merge(names, on=["row", "segment_name"])
    rows = rows.join(test[["country_code", "timestamp", AMOUNT]], on="row")
    if rows.empty:
        raise BacktestError(f"none of the {len(test):,} later vouchers is in a segment; check the measures and cuts")
    first = ranked(learn, ["country_code"])
    first["chance"] = first["uses"] / first.groupby("country_code")["uses"].transform("sum")
    rows = rows.join(first.groupby("country_code")[AMOUNT].first().rename("country_names"), on="country_code")
    best = ranked(rows, ANSWER).groupby(ANSWER)[AMOUNT].first()
    rows = rows.join(best.rename("hindsight_names"), on=ANSWER)
    for side in [side for side in NAMES if f"{side}_names" in rows]:
        rows[side] = rows[AMOUNT] == rows[f"{side}_names"]
    rows = rows.join(first.set_index(["country_code", AMOUNT])["chance"], on=["country_code", AMOUNT])
    return Backtest(learn["timestamp"].max(), len(learn), len(test), rows.fillna({"chance": 0.0}), book)


def _named(learn: pd.DataFrame, test: pd.DataFrame, books: Books, default: SegmentBook) -> pd.DataFrame:
    """Return the segment of each tested vote and the amount that the learned answers name for it."""
    found = []
    of_country = {country: _of(books, str(country), default) for country in test["country_code"].unique()}
    for used in {each.hash: each for each in of_country.values()}.values():
        countries = [country for country, each in of_country.items() if each.hash == used.hash]
        known, asked = (rows[rows["country_code"].isin(countries)] for rows in (learn, test))
        lines = votes(counts.placed(counts.table(asked), RuleBook(()), used), used)
        lines["row"] = asked.index.to_numpy()[lines["row"]]
        if len(known):
            answers = counts.answers(counts.results(counts.table(known), RuleBook(()), used))
            lines = lines.join(answers[AMOUNT].rename("named"), on=ANSWER)
        else:
            lines["named"] = np.nan
        found.append(lines[["row", "segment_name", "segment", "named"]])
    return pd.concat(found)


def _of(books: Books, country: str, default: SegmentBook) -> SegmentBook:
    return books if isinstance(books, SegmentBook) else books.get(country, default)
