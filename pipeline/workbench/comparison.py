"""Two histories side by side: two editions, or the published run and new data. What `bench.compare` returns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.evaluate.totals import Results
from pipeline.publish.database import Database, DatabaseError
from pipeline.rules.segments import SegmentBook
from pipeline.settings import address, database_url
from pipeline.workbench import counts
from pipeline.workbench.counts import AMOUNT, ANSWER
from pipeline.workbench.pictures import Shown, panels, write_answer
from shared import environment
from shared.countries import country_key

TABLES = ("rule_outcome", "unplaced", "segment_vote", "segment")
BOUNDS = ["segment", "measure", "lower_bound", "upper_bound"]
KIND = ["country_code", "segment_name"]
MUCH_DRIFT = 0.25  # a usual rule of thumb for `psi`; below 0.1 there is little


@dataclass(frozen=True)
class Edition:
    """What was counted in a history: the results of its run. name: for people, without secrets."""

    name: str
    results: Results

    def table(self, name: str) -> pd.DataFrame:
        """Return a table as a frame, with amounts as numbers."""
        frame: pd.DataFrame = self.results.tables[name].to_pandas()
        return frame.astype({AMOUNT: float}) if AMOUNT in frame else frame

    def spelled_as(self, other: "Edition") -> "Edition":
        """Return the edition with the countries as the other one spells them, if it has them."""
        names = {country_key(name): name for name in counts.countries(other.results)}
        tables = {}
        for name in TABLES:
            frame: pd.DataFrame = self.results.tables[name].to_pandas()
            frame["country_code"] = [names.get(country_key(each), each) for each in frame["country_code"]]
            tables[name] = pa.Table.from_pandas(frame, preserve_index=False)
        return Edition(self.name, replace(self.results, tables=tables))

    def kinds(self) -> dict[str, list[Any]]:
        """Return the segments of each kind: labels, measure and bounds."""
        lines = self.table("segment").sort_values("position").drop_duplicates(["segment_name", *BOUNDS])
        lines = lines.astype({"upper_bound": float}).fillna({"upper_bound": np.inf})
        return {str(name): own[BOUNDS].to_numpy().tolist() for name, own in lines.groupby("segment_name")}

    def __str__(self) -> str:
        """Return the name and the numbers of rows."""
        rows, kept = self.results.rows_in, self.results.rows_kept
        return f"{self.name}, {rows:,} rows, {kept:,} kept"


@dataclass(frozen=True)
class Comparison(Shown):
    """An edition `before` and one `after`, whose frames have a column for each and the difference in `points`.

    rules: the rows that each rule matches, in % of all. countries: kept rows, and the % of all kept. amounts: the % of
    the country's votes. answers: those that differ. drift: the % of the country's votes in each segment. psi: how far
    the segments of a country and kind have drifted (see `stability`). amounts, answers, drift and psi have the
    countries of both editions; answers, drift and psi only the kinds that have the same segments in both.
    """

    before: Edition
    after: Edition
    rules: pd.DataFrame
    countries: pd.DataFrame
    amounts: pd.DataFrame
    answers: pd.DataFrame
    drift: pd.DataFrame
    psi: pd.DataFrame
    book: SegmentBook

    def __str__(self) -> str:
        """Return both editions, the countries that came or went, the answers that differ and the largest drift."""
        lines = [f"Before: {self.before}", f"After: {self.after}"]
        for what, absent in {"came": "kept before", "went": "kept after"}.items():
            if names := list(self.countries.index[self.countries[absent] == 0]):
                lines.append(f"Countries that {what}: {', '.join(names)}")
        lines.append(f"{len(self.answers)} answers differ in the countries of both")
        if other := [name for name in self.before.kinds() | self.after.kinds() if name not in self.psi]:
            lines.append(f"Not compared, as the segments differ: {', '.join(other)}")
        drift = self.psi.melt(var_name="kind", value_name="psi", ignore_index=False).dropna().sort_values("psi")
        for country, line in drift.tail(1).iterrows():
            much = "much" if line["psi"] > MUCH_DRIFT else "not much"
            lines.append(f"Largest drift: {country}, {line['kind']}, index {line['psi']:.2f} ({much})")
        return "\n".join(lines)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the frames that a notebook shows."""
        return {
            "Rows that each rule matches, in %": self.rules,
            "Kept rows by country": self.countries,
            "Amounts, in % of the country's votes": self.amounts,
            "Answers that differ": self.answers,
            "Segments, in % of the country's votes": self.drift,
            "Population stability index": self.psi,
        }

    def plot(self) -> Any:
        """Return the picture: each segment's part of the votes before and after, and its answer."""
        heading = "\n".join(str(self).splitlines()[:2])
        xlabel = "% of the country's votes: before (ring), after (dot); right: the answer, in bold if it differs"
        answers = [counts.answers(each.results)[[AMOUNT]] for each in (self.before, self.after)]
        drawn = panels(list(self.psi.index), self.book, heading, xlabel)
        for country, axis in drawn.axes.items():
            here = counts.in_country(self.drift, country, drawn.segments)
            places = np.arange(len(here))
            axis.hlines(places, here["before"], here["after"], color="C0", linewidth=2.5)
            axis.plot(here["before"], places, "o", color="C1", markersize=7, fillstyle="none")
            axis.plot(here["after"], places, "o", color="C0", markersize=4)
            both = [counts.in_country(each, country, drawn.segments)[AMOUNT] for each in answers]
            for place, (before, after) in enumerate(zip(*both, strict=True)):
                write_answer(axis, place, before, after)
            axis.set_xlim(-6, 200)
        return drawn.figure


def published(*, environ: Mapping[str, str] = environment.OF_PROCESS) -> Edition:
    """Return what the published run counted, from the database of API_DATABASE_URL, whose role only reads.

    If that is unset, the pipeline's database is read. Raises SettingsError if none is set, DatabaseError if nothing is
    published.
    """
    with Database(address(environ, "API_DATABASE_URL") or database_url(environ)).transaction() as cursor:
        cursor.execute("SELECT run.* FROM voucher.run JOIN voucher.current_run USING (run_id)")
        if not (run := cursor.fetchone()):
            raise DatabaseError("nothing is published; `python -m pipeline run` publishes a run")
        tables = {}
        for name in TABLES:
            cursor.execute(f"SELECT * FROM voucher.{name} WHERE run_id = %s", (run.run_id,))  # noqa: S608
            columns = [column.name for column in cursor.description]
            tables[name] = pa.Table.from_pandas(pd.DataFrame(cursor.fetchall(), columns=columns), preserve_index=False)
    results = Results(run.rows_in, run.rows_kept, run.data_from, run.data_to, tables)
    return Edition(f"run {run.run_id[:7]} of {run.source}", results)


def compare(before: Edition, after: Edition, book: SegmentBook) -> Comparison:
    """Compare two editions. book: the segments of `after`, for the picture."""
    before = before.spelled_as(after)
    editions = (before, after)
    both = sorted(set.intersection(*({*each.table("segment")["country_code"]} for each in editions)))
    kinds = [name for name, segments in after.kinds().items() if before.kinds().get(name) == segments]
    answers = [_in_both(counts.answers(each.results), both) for each in editions]
    answers = [each[each.index.get_level_values("segment_name").isin(kinds)] for each in answers]
    rows = [each["rows"] for each in answers]
    votes = [_in_both(each.table("segment_vote").set_index(ANSWER), both).reset_index() for each in editions]
    amounts = [each.groupby(["country_code", AMOUNT])["uses"].sum() for each in votes]
    kept = [counts.kept_rows(each.results) for each in editions]
    countries = _beside(*(100 * each / each.sum() for each in kept)).fillna(0)
    for name, own in zip(("kept before", "kept after"), kept, strict=True):
        countries[name] = own.reindex(countries.index).fillna(0).astype(int)
    return Comparison(
        before,
        after,
        _beside(*map(_matched, editions)),
        countries,
        _beside(*(100 * each / each.groupby("country_code").transform("sum") for each in amounts)),
        counts.changed(*answers),
        _beside(*(100 * each / each.groupby(KIND).transform("sum") for each in rows)),
        stability(*rows).unstack("segment_name").reindex(index=both, columns=kinds),
        book,
    )


def stability(before: "pd.Series[Any]", after: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the population stability index of each country and kind: the sum of (q - p) ln(q / p) over its segments.

    before, after: votes by country, kind and segment; p and q are their shares. An empty segment counts as half a vote,
    as ln 0 has no value. Missing for a kind without votes. N. Siddiqi, *Credit Risk Scorecards* (2006), who calls less
    than 0.1 stable and more than 0.25 a shift.
    """
    p, q = (votes.clip(lower=0.5) / votes.clip(lower=0.5).groupby(KIND).transform("sum") for votes in (before, after))
    voted = [votes.groupby(KIND).sum() > 0 for votes in (before, after)]
    found: pd.Series[Any] = ((q - p) * np.log(q / p)).groupby(KIND).sum().where(voted[0] & voted[1])
    return found


def _in_both(frame: pd.DataFrame, both: list[str]) -> pd.DataFrame:
    return frame[frame.index.get_level_values("country_code").isin(both)]


def _matched(edition: Edition) -> "pd.Series[Any]":
    """Return the matches of each rule in % of all rows; without built-in reasons that match none."""
    matched = edition.table("rule_outcome").groupby("rule", sort=False)["matched"].sum()
    share: pd.Series[Any] = 100 * matched[matched > 0] / (edition.results.rows_in or np.nan)
    return share


def _beside(before: "pd.Series[Any]", after: "pd.Series[Any]") -> pd.DataFrame:
    """Return two series as columns, the lines of `after` first, and their difference."""
    found = pd.DataFrame({"before": before, "after": after})
    found = found.reindex(after.index.union(before.index, sort=False))
    return found.assign(points=found["after"] - found["before"])
