"""The analyst's side of the rules: try them on a history, see what they drop, save them. Used by the notebooks only.

It runs on the pipeline's own engine, so what it counts is what a run counts. It needs neither Postgres nor Airflow.
"""

from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import engine, source
from pipeline.rules import RULES_FILE, UNREADABLE, Rule, RuleBook
from pipeline.segments import SegmentBook

ALL = "all countries"


class Workbench:
    """A history and the rules that were added so far."""

    def __init__(self, history: pa.Table) -> None:
        """Take a history, raw: the columns as the file has them."""
        self.history = history
        self.rules = RuleBook(())

    @classmethod
    def open(cls, uri: str, anonymous: bool = False) -> "Workbench":
        """A workbench on what `uri` names, as VOUCHER_SOURCE would. Raises SourceError when it can't be read."""
        tables = []
        for part in source.parts(uri, anonymous):
            with source.fetched(part, anonymous) as (path, _):
                tables.append(pq.read_table(path))
        return cls(pa.concat_tables(tables, promote_options="permissive"))

    @cached_property
    def typed(self) -> pd.DataFrame:
        """The history with its columns typed, as the rules see it: times in UTC, orders and amounts as numbers or
        missing.
        """
        with engine.judged(self.history, RuleBook(()), SegmentBook.load()) as judged:
            frame: pd.DataFrame = judged.kept().read_all().to_pandas()
        return frame.astype({"total_orders": "Int32", "voucher_amount": "float64"})

    def add(self, name: str, drop_when: str, because: str, share: tuple[float, float]) -> pd.DataFrame:
        """Add a rule after the others; how many rows it matches and, coming last, drops, by country.

        Raises RuleError naming the column, the position and the way out. Adding a name again replaces the rule.
        """
        others = tuple(rule for rule in self.rules.rules if rule.name != name)
        self.rules = RuleBook((*others, Rule(name, drop_when, because, share)))
        outcome = self._outcome()
        return self._by_country(outcome[outcome["rule"] == name]).drop(columns="rule")

    def explain(self) -> pd.DataFrame:
        """What each rule matches and drops of all rows, the share that matches, and the band that it may lie in."""
        outcome = self._outcome().groupby("rule", sort=False)[["matched", "dropped"]].sum()
        table = outcome.reindex([rule.name for rule in self.rules.rules])
        table["share"] = table["matched"] / self.history.num_rows
        table["lowest"], table["highest"] = zip(*(rule.share for rule in self.rules.rules), strict=True)
        return table

    def unreadable(self) -> pd.Series:
        """How many rows hold a value that can't be read, by reason; a run with more than their band is not
        published.
        """
        return self._outcome().groupby("rule")["matched"].sum().reindex(list(UNREADABLE))

    def save(self, path: Path = RULES_FILE) -> Path:
        """Write the rules to the file that the pipeline reads."""
        self.rules.save(path)
        return path

    def _outcome(self) -> pd.DataFrame:
        segments = SegmentBook.load()
        with engine.judged(self.history, self.rules, segments) as judged:
            results = engine.results([judged.tally()], self.rules, segments)
        frame: pd.DataFrame = results.tables["rule_outcome"].to_pandas()
        return frame

    def _by_country(self, outcome: pd.DataFrame) -> pd.DataFrame:
        table = outcome.set_index("country_code").sort_index()
        table.loc[ALL] = table.sum(numeric_only=True)
        return table
