"""Try a rule: the rows that it matches, and the answers that change. Also what is wrong with a rule on this history."""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import pandas as pd

from pipeline.evaluate.totals import Results
from pipeline.rules.rulebook import UNREADABLE, RuleBook, RuleError
from pipeline.rules.segments import SegmentBook
from pipeline.workbench import counts
from pipeline.workbench.counts import ALL, AMOUNT
from pipeline.workbench.pictures import Shown, panels, write_answer
from shared.countries import country_key, hint


class RuleWarning(UserWarning):
    """A rule was added, but on this history it can't match, or its runs would not be published."""


@dataclass(frozen=True)
class TriedRule(Shown):
    """What a rule would do after others. Its length is the number of answers that change.

    rows: by country and in all: matched, the rows that the rule matches; dropped, those of them that the other rules
    keep; both also as a share; the rows kept before and after. before, after: the answers, with the columns of
    `Workbench.answers`.
    """

    drop_when: str
    rows: pd.DataFrame
    before: pd.DataFrame
    after: pd.DataFrame
    book: SegmentBook

    def __len__(self) -> int:
        """Return how many answers change."""
        return len(self.changes)

    @property
    def changes(self) -> pd.DataFrame:
        """The answers that change, one a line: amount, votes and rows, before and after."""
        return counts.changed(self.before, self.after)

    def __str__(self) -> str:
        """Return how many rows it matches and drops, and how many answers change, in words."""
        rule, rows = shorten(self.drop_when, 60, placeholder=" …"), self.rows.loc[ALL]
        if not rows["matched"]:
            return f"{rule}: matches no row, so nothing changes"
        found = f"{rule}: matches {rows['matched']:,.0f} rows ({rows['% of rows']:.3g} %)"
        if not rows["dropped"]:
            return f"{found}; other rules drop them all, so nothing changes"
        dropped = f"{rows['dropped']:,.0f} of them ({rows['% of kept']:.3g} % of all kept)"
        changes = f"{len(self)} of {len(self.before)} answers change"
        return f"{found}\nThe other rules keep {dropped}; without them, {changes}"

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the frames that a notebook shows: none if the rule matches no row."""
        frames = {"Rows": self.rows, "Answers that change": self.changes}
        return {heading: frame for heading, frame in frames.items() if self.rows.loc[ALL, "matched"] and len(frame)}

    def plot(self) -> Any:
        """Return the picture: the part of each segment's votes that is left, and its answer before and after."""
        countries = sorted(self.before.index.unique("country_code"))
        xlabel = (
            "% of the segment's votes that are left (blue) and dropped (grey); right: its answer, in bold if it changes"
        )
        drawn = panels(countries, self.book, str(self), xlabel)
        for country, axis in drawn.axes.items():
            before, after = (counts.in_country(each, country, drawn.segments) for each in (self.before, self.after))
            voted = before["rows"].where(before["rows"] > 0)
            axis.barh(range(len(voted)), 100 * voted / voted, color="#dddddd")
            axis.barh(range(len(voted)), 100 * after["rows"].fillna(0) / voted, color="C0")
            for place, amounts in enumerate(zip(before[AMOUNT], after[AMOUNT], strict=True)):
                write_answer(axis, place, *amounts)
            kept = self.rows.loc[country, ["kept before", "kept after"]]
            heading = f"{country}\n{kept['kept after']:,.0f} of {kept['kept before']:,.0f} rows"
            axis.set_title(heading, fontsize=9, fontweight="normal", loc="left")
        return drawn.figure


def tried(drop_when: str, before: Results, after: Results, rules: RuleBook, book: SegmentBook) -> TriedRule:
    """Compare the counts without and with the last of `rules`, whose condition is `drop_when`."""
    lines = counts.explained(after, rules).xs(rules.rules[-1].name, level="rule").drop("", errors="ignore")
    kept = lines["left"] + lines["dropped"]
    rows = pd.DataFrame({"matched": lines["matched"], "% of rows": 100 * lines["share"], "dropped": lines["dropped"]})
    rows["% of kept"] = (100 * lines["dropped"] / kept).fillna(0)
    rows["kept before"], rows["kept after"] = kept, lines["left"]
    return TriedRule(drop_when, rows, counts.answers(before), counts.answers(after), book)


def unknown_countries(countries: Iterable[str], results: Results) -> list[str]:
    """Return a sentence, with the nearest name, for each of the countries that the history doesn't have.

    All spellings of a country are the same.
    """
    known = counts.countries(results)
    keys = {country_key(country) for country in known}
    unknown = (country for country in countries if country_key(country) not in keys)
    return [f"the history has no country {country!r}; {hint(country, known)}" for country in unknown]


def check_countries(countries: Iterable[str], results: Results) -> None:
    """Raise RuleError, with the nearest name, for those of the countries that the history doesn't have."""
    if unknown := unknown_countries(countries, results):
        raise RuleError("; ".join(unknown))


def broken_bands(bands: pd.DataFrame) -> list[str]:
    """Return a sentence, with share, band and remedy, for each line of `Workbench.bands` outside its band."""
    return [_broken(str(name), line) for name, line in bands[~bands["inside"]].iterrows()]


def check_bands(bands: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of `Workbench.bands`. Raises RuleError if one is outside its band."""
    if broken := broken_bands(bands):
        raise RuleError("\n".join(broken))
    return bands


def _broken(name: str, band: "pd.Series[Any]") -> str:
    if pd.isna(band["share"]):
        return f"rule {name}: the history has no rows, so its share is unknown; open another one"
    remedy = (
        "Correct the values in the source"
        if name in UNREADABLE
        else "Correct the condition or, if this share is right, `share`"
    )
    return (
        f"rule {name}: it matches {band['matched']:,} rows, {100 * band['share']:.6g} % of all, but its share is from "
        f"{100 * band['lowest']:.6g} to {100 * band['highest']:.6g} %, so a run would not be published. {remedy}"
    )
