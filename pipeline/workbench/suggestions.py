"""Suggest cuts for a segment kind, from a decision tree. It only suggests: the analyst decides, and writes down why.

The tree learns from the first part of the history, and the backtest tests its cuts on the rest. It cuts where the mix
of amounts changes within the countries, by the Gini index (L. Breiman et al., *Classification and Regression Trees*,
1984), which is the squared error of a column of zeros and ones for each amount. It is then pruned by what the answers
are made for: the cuts remain whose removal would lose the most hits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from pipeline.rules.kinds import Kind, SegmentError, from_cuts
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.rules.sql.intervals import LEAST_SENDS
from pipeline.workbench import counts
from pipeline.workbench.backtest import Backtest, backtest, sent_when_written, split
from pipeline.workbench.counts import ALL, AMOUNT
from pipeline.workbench.evidence import intervals, votes
from pipeline.workbench.pictures import Shown, over_measure

Cuts = list[int] | dict[str, list[int]]
LEAST_ROWS = 200  # of a suggested segment, in the part that is learned from


@dataclass(frozen=True)
class Suggestion(Shown):
    """Cuts for a kind, and what they would change.

    kind: the kind in use. cuts: where segments begin, above 0; by country if it was asked so. answers: what each
    segment would answer, from all kept rows, with the columns of `Workbench.intervals`. backtest: the suggested cuts
    (`other`) and those in use (`table`), learned from the first part and tested on the rest. rows: the kept rows that
    are not backdated, with their `measure`.
    """

    kind: Kind
    cuts: Cuts
    answers: pd.DataFrame
    backtest: Backtest
    rows: pd.DataFrame

    @property
    def gain(self) -> pd.DataFrame:
        """How many points more the suggested cuts hit, in all countries and in each.

        Columns: points; low and high, the 95 % interval by send (missing below ten sends); sends; clear.
        """
        by = [self.backtest.rows.assign(country_code=ALL), self.backtest.rows]
        lines = [replace(self.backtest, rows=rows).differences(["country_code"]) for rows in by]
        return pd.DataFrame(pd.concat(lines).xs("other - table", level="difference"))

    def __str__(self) -> str:
        """Return the cuts and their gain, in words."""
        by_country = self.cuts if isinstance(self.cuts, dict) else {ALL: self.cuts}
        named = "; ".join(f"{country}: {', '.join(map(str, cuts)) or 'none'}" for country, cuts in by_country.items())
        today = ", ".join(str(segment.lower) for segment in self.kind.segments[1:]) or "none"
        gain = self.gain.loc[ALL]
        sure = (
            f"{gain['low']:+.2f} to {gain['high']:+.2f}" if pd.notna(gain["low"]) else "too few sends for an interval"
        )
        return (
            f"Suggested cuts of {self.kind.measure.replace('_', ' ')}, {named}\n"
            f"Cuts in use: {today}. On later vouchers the suggested ones gain {gain['points']:+.2f} points ({sure})"
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the frames that a notebook shows."""
        return {"Gain in points": self.gain, "What each segment would answer": self.answers}

    def plot(self) -> Any:
        """Return the picture: the mix of amounts over the measure in each country, with both sets of cuts."""
        countries = sorted(self.rows["country_code"].unique())
        suggested = {each: self.cuts.get(each, []) if isinstance(self.cuts, dict) else self.cuts for each in countries}
        today = [segment.lower for segment in self.kind.segments[1:]]
        measure = f"{self.kind.measure.replace('_', ' ')} (in {self.kind.measured.unit})"
        return over_measure(self.rows, measure, suggested, today, str(self).splitlines()[-1])


def suggest(placed: pd.DataFrame, book: SegmentBook, name: str, most: int, by_country: bool) -> Suggestion:
    """Suggest cuts for the kind of this name from the rows of `Workbench.placed`.

    Raises SegmentError if there is no such kind or `most` is below 1, BacktestError if nothing can be tested, as for a
    kind without votes.
    """
    kind = next((kind for kind in book.kinds if kind.name == name), None)
    if kind is None:
        raise SegmentError(f"there is no kind {name!r}; the kinds are {', '.join(kind.name for kind in book.kinds)}")
    if most < 1:
        raise SegmentError(f"most is {most}, but a kind has at least 1 segment")
    rows = _measured(sent_when_written(placed), kind)
    learn = _measured(split(placed)[0], kind)
    cuts: Cuts
    countries = sorted(map(str, placed["country_code"].unique()))
    if by_country:
        cuts = {country: tree_cuts(learn[learn["country_code"] == country], most) for country in countries}
        books = {country: _book(kind, own) for country, own in cuts.items()}
    else:
        cuts = tree_cuts(learn, most)
        books = dict.fromkeys(countries, _book(kind, cuts))
    found = [_answers(own, books[str(country)]) for country, own in placed.groupby("country_code")]
    return Suggestion(kind, cuts, pd.concat(found), backtest(placed, SegmentBook((kind,)), books), rows)


def tree_cuts(rows: pd.DataFrame, most: int) -> list[int]:
    """Return where up to `most` segments begin, above 0, each with LEAST_ROWS rows and LEAST_SENDS sends or more.

    Columns of rows: measure (0 or more), country_code, voucher_amount, sent (the UTC day). A cut that changes no answer
    is left out.
    """
    return _Tally(rows).pruned(_grown(rows), most) if len(rows) else []


def _grown(rows: pd.DataFrame) -> list[int]:
    """Return the cuts of a tree that is as large as LEAST_ROWS allows."""
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 - not in the pipeline's image

    lines = rows.groupby(["measure", "country_code", AMOUNT]).size().rename("rows").reset_index()
    share = rows.groupby("country_code")[AMOUNT].value_counts(normalize=True)
    # A country's columns are measured from its own mean, so that a leaf gains nothing by holding another mix of
    # countries.
    own = share.index.get_level_values("country_code").to_numpy() == lines["country_code"].to_numpy()[:, None]
    target = np.where(own, -share.to_numpy(), 0.0)
    target[
        np.arange(len(lines)), share.index.get_indexer(pd.MultiIndex.from_frame(lines[["country_code", AMOUNT]]))
    ] += 1
    tree = DecisionTreeRegressor(min_weight_fraction_leaf=min(0.5, LEAST_ROWS / len(rows)), random_state=0)
    tree.fit(lines[["measure"]].to_numpy(float), target, sample_weight=lines["rows"])
    return sorted({int(np.floor(each)) + 1 for each in tree.tree_.threshold[tree.tree_.feature == 0]})


class _Tally:
    """Votes by value of the measure, country and amount, and the sends of each value."""

    def __init__(self, rows: pd.DataFrame) -> None:
        votes = rows.pivot_table(index="measure", columns=["country_code", AMOUNT], aggfunc="size", fill_value=0)
        self.values = votes.index.to_numpy(int)
        self.votes = votes.to_numpy(int)
        countries = votes.columns.get_level_values("country_code")
        self.countries = [countries == country for country in countries.unique()]
        self.sends = pd.crosstab(rows["measure"], rows["sent"]).to_numpy() > 0

    def _segment(self, lower: float, upper: float) -> tuple[int, bool]:
        """Return the hits of the segment's most used amounts, and whether it has enough rows and sends."""
        inside = (self.values >= lower) & (self.values < upper)
        votes = self.votes[inside].sum(axis=0)
        enough = votes.sum() >= LEAST_ROWS and self.sends[inside].any(axis=0).sum() >= LEAST_SENDS
        return sum(int(votes[own].max()) for own in self.countries), bool(enough)

    def pruned(self, cuts: Sequence[int], most: int) -> list[int]:
        """Remove cuts, first those beside a segment that is too small, then those that lose the fewest hits."""
        left = [*cuts]
        while left:
            bounds = [0, *left, np.inf]
            segments = [self._segment(*each) for each in pairwise(bounds)]
            removed = []
            for place, (one, other) in enumerate(pairwise(segments)):
                lost = one[0] + other[0] - self._segment(bounds[place], bounds[place + 2])[0]
                removed.append((one[1] and other[1], lost, place))
            enough, lost, place = min(removed)
            if enough and lost > 0 and len(left) < most:
                break
            left.pop(place)
        return left


def _measured(rows: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    measure = counts.measured(rows, kind.measured)
    found = rows.assign(measure=measure, sent=rows["timestamp"].dt.floor("D"))[measure.ge(0).fillna(False).astype(bool)]
    return found.dropna(subset=[AMOUNT]).astype({"measure": int})


def _book(kind: Kind, cuts: Sequence[int]) -> SegmentBook:
    return SegmentBook((replace(kind, segments=from_cuts(cuts)),))


def _answers(placed: pd.DataFrame, book: SegmentBook) -> pd.DataFrame:
    history = counts.table(placed)
    answers = counts.answers(counts.results(history, RuleBook(()), book))
    lines = intervals(votes(counts.placed(history, RuleBook(()), book), book), answers)
    return lines.droplevel("segment_name")
