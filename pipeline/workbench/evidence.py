"""What the answers rest on: the votes, how sure each answer is, and whether it also won week by week."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.rules.segments import SegmentBook
from pipeline.workbench.counts import AMOUNT, ANSWER
from pipeline.workbench.pictures import panels

FEW = 30  # votes of a week: below, no winner


def backdated(placed: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether each row was sent on a UTC day before its last order, so that its day is wrong."""
    earlier: pd.Series[bool] = placed["timestamp"].dt.floor("D") < placed["last_order_ts"].dt.floor("D")
    return earlier


def votes(placed: pd.DataFrame, book: SegmentBook) -> pd.DataFrame:
    """Return a line for each kept row and each kind in which it votes, from the rows of `Workbench.placed`.

    Columns: country_code, voucher_amount, timestamp, segment_name, segment; row, its place in `placed`; backdated.
    """
    lines = placed.assign(backdated=backdated(placed), row=range(len(placed))).melt(
        id_vars=["country_code", AMOUNT, "timestamp", "backdated", "row"],
        value_vars=[kind.name for kind in book.kinds],
        var_name="segment_name",
        value_name="segment",
    )
    return lines.dropna(subset=["segment", AMOUNT])


def ranked(votes: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return how often each amount was sent within each group of the columns `by`: most `uses` first.

    A tie goes to the smaller amount, as in the answers.
    """
    uses = votes.groupby([*by, AMOUNT]).size().rename("uses").reset_index()
    return uses.sort_values([*by, "uses", AMOUNT], ascending=[True] * len(by) + [False, True])


def intervals(votes: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Return how sure each answer is, one line for each segment that has votes.

    Columns: vouchers, sends (UTC days), amount; %, low and high, the amount's share with its 95 % interval by send;
    runner-up, its amount, and runner-up %; margin, in points; clear, whether the margin is larger than its own error.
    Below ten sends low, high and clear are missing.
    """
    second = ranked(votes, ANSWER).groupby(ANSWER).nth(1).set_index(ANSWER)
    second = second.rename(columns={AMOUNT: "runner-up", "uses": "second"})
    lines = answers[answers["rows"] > 0].join(second)
    found = pd.DataFrame({"vouchers": lines["rows"], "sends": lines["sends"], "amount": lines[AMOUNT]})
    found["%"] = 100 * lines["uses"] / lines["rows"]
    found["low"], found["high"] = 100 * lines["share_low"], 100 * lines["share_high"]
    found["runner-up"] = lines["runner-up"]
    found["runner-up %"] = 100 * lines["second"].fillna(0) / lines["rows"]
    found["margin"] = found["%"] - found["runner-up %"]
    return found.assign(clear=lines["clear"].astype("boolean"))


@dataclass(frozen=True)
class WeeklyWinners:
    """The winner of each week, Monday to Sunday in UTC, compared with the answer.

    weeks: by segment and week: amount (the week's most used), answer, won (whether they are the same), lead (of the
    answer over the best other amount, in points). Weeks with fewer than FEW votes are left out, backdated votes too.
    """

    weeks: pd.DataFrame
    book: SegmentBook

    @property
    def changing(self) -> pd.DataFrame:
        """The segments whose winner changed: the answer, and the number of weeks that each amount won."""
        lines = self.weeks[~self.weeks["won"].groupby(ANSWER).transform("all").astype(bool)].groupby(ANSWER)
        listed = lines["amount"].agg(
            lambda amounts: ", ".join(f"{amount:.10g} ({weeks})" for amount, weeks in amounts.value_counts().items())
        )
        return pd.DataFrame({"answer": lines["answer"].first().map("{:.10g}".format), "won (weeks)": listed})

    def __str__(self) -> str:
        """Return how often the answer won, in words."""
        won = self.weeks["won"].groupby(ANSWER).all()
        return (
            f"Week by week, segment by segment, the answer won {self.weeks['won'].sum()} of {len(self.weeks)} times;\n"
            f"{won.sum()} of {len(won)} segments never had another winner"
        )

    def plot(self) -> Any:
        """Return the picture: a box a week, blue where the answer won, red with a cross where it lost."""
        found = self.weeks.index.unique("week")
        mondays = pd.date_range(found.min(), found.max(), freq="7D") if len(found) else found
        label = f"weeks, by their Monday, {mondays[0]:%d %B %Y} to {mondays[-1]:%d %B %Y}" if len(found) else "weeks"
        drawn = panels(sorted(self.weeks.index.unique("country_code")), self.book, str(self), label)
        step, image = max(1, -(-len(mondays) // 3)), None
        for country, axis in drawn.axes.items():
            here = self.weeks.loc[country].unstack("week").reindex(drawn.segments)
            lead = pd.DataFrame(here["lead"]).reindex(columns=mondays).astype(float)
            lost = pd.DataFrame(here["won"]).reindex(columns=mondays).eq(False)
            image = axis.imshow(lead, cmap=drawn.colors("RdBu"), vmin=-60, vmax=60, aspect="auto")
            axis.plot(*np.nonzero(lost.to_numpy())[::-1], "x", color="black", markersize=4, markeredgewidth=1)
            axis.grid(visible=False)
            axis.set_xticks(range(0, len(mondays), step), [f"{day:%d %b}" for day in mondays[::step]])
        if image:
            drawn.figure.colorbar(image, ax=list(drawn.axes.values()), label="lead over the best other amount (points)")
        return drawn.figure


def weekly_winners(votes: pd.DataFrame, answers: pd.DataFrame, book: SegmentBook) -> WeeklyWinners:
    """Compare each segment's answer with the winner of each week."""
    dated = votes[~votes["backdated"]].dropna(subset=["timestamp"])
    monday = dated["timestamp"].dt.floor("D") - pd.to_timedelta(dated["timestamp"].dt.day_of_week, unit="D")
    by = [*ANSWER, "week"]
    lines = ranked(dated.assign(week=monday), by).join(answers[AMOUNT].rename("answer"), on=ANSWER)
    of_week = lines.groupby(by)["uses"].transform("sum")
    lines["share"], lines["won"] = 100 * lines["uses"] / of_week, lines[AMOUNT] == lines["answer"]
    lines = lines[of_week >= FEW]
    best, other = (lines[lines["won"].eq(own)].groupby(by)["share"].max() for own in (True, False))
    weeks = lines.groupby(by).agg(amount=(AMOUNT, "first"), answer=("answer", "first"), won=("won", "first"))
    return WeeklyWinners(weeks.assign(lead=best.sub(other, fill_value=0)), book)
