"""The analyst's tools: try rules on a history, see what they drop and which answers they change, and save them.

Used by the notebooks. It runs on the pipeline's engine, so it counts as a run does, without Postgres or Airflow.
"""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import SAMPLE_MARK
from pipeline.evaluate import engine
from pipeline.evaluate.totals import Results, aggregate
from pipeline.rules import columns
from pipeline.rules.columns import missing_columns
from pipeline.rules.rulebook import RULES_FILE, Rule, RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.source import copies
from pipeline.source.parts import list_parts
from pipeline.source.s3 import SourceError
from shared import environment
from shared.addresses import redact

SAMPLE, ALL = "synthetic sample", "all countries"
ANSWER, AMOUNT = ["country_code", "segment_name", "segment"], "voucher_amount"


class Workbench:
    """A history and the rules that were added so far."""

    def __init__(self, history: pa.Table | pd.DataFrame, source: str = "a table in memory") -> None:
        """Take a raw history, with the columns as the file has them. `source` says where it comes from."""
        self.source = source
        self.history = history if isinstance(history, pa.Table) else pa.Table.from_pandas(history, preserve_index=False)
        self.rules = RuleBook(())
        self.segments = SegmentBook.load()

    @classmethod
    def open(cls, uri: str, anonymous: bool = False) -> "Workbench":
        """Open what `uri` names, as VOUCHER_SOURCE would, and read all of it into memory. Raises SourceError."""
        tables: list[pa.Table] = []
        for part in list_parts(uri, anonymous):
            with copies.local_copy(part, anonymous) as path:
                tables.append(pq.read_table(path))
            if fault := missing_columns(tables[-1].column_names):
                raise SourceError(f"{part.uri}: {fault}")
        sample = all(SAMPLE_MARK in (table.schema.metadata or {}).items() for table in tables)
        return cls(_together(tables), SAMPLE if sample else redact(uri))

    @classmethod
    def from_environment(cls, default: Callable[[], pa.Table], environ: Mapping[str, str] = os.environ) -> "Workbench":
        """Open the history of VOUCHER_SOURCE or, if it is unset, the one that `default` returns."""
        if uri := environment.text(environ, "VOUCHER_SOURCE"):
            return cls.open(uri, environment.yes_no(environ, "VOUCHER_S3_ANONYMOUS"))
        return cls(default(), SAMPLE)

    def __str__(self) -> str:
        """Return where the history comes from and its number of rows, so that nobody confuses two histories."""
        return f"{self.source}, {self.history.num_rows:,} rows"

    @cached_property
    def typed(self) -> pd.DataFrame:
        """The history with typed columns, as the rules see it, in file order. Unreadable rows are left out.

        Times are UTC; orders and amounts are numbers or missing.
        """
        return self._kept_by(RuleBook(()), placed=False)

    @cached_property
    def placed(self) -> pd.DataFrame:
        """The rows of `typed` that the saved rules keep, with a column for each segment kind: the row's segment."""
        return self._kept_by(RuleBook.load(), placed=True)

    def _kept_by(self, rules: RuleBook, placed: bool) -> pd.DataFrame:
        with (
            engine.open_duckdb(in_order=True) as within,
            engine.evaluate(self.history, rules, self.segments, within=within) as part,
        ):
            frame: pd.DataFrame = part.kept(placed).read_all().to_pandas()
        return frame.astype({"total_orders": "Int32", "voucher_amount": "float64"})

    def add(self, name: str, drop_when: str, because: str, share: tuple[float, float]) -> pd.DataFrame:
        """Add a rule after the others, or replace the one of this name; return its lines of `explain()`.

        Raises RuleError with the column, the position and the remedy.
        """
        others = tuple(rule for rule in self.rules.rules if rule.name != name)
        self.rules = RuleBook((*others, Rule(name, drop_when, because, share)))
        return pd.DataFrame(self.explain().xs(name, level="rule"))

    def explain(self) -> pd.DataFrame:
        """Return the effect of each rule, by rule and country.

        matched: the rows it matches. dropped: those that no rule before it drops. left: the rows left after it. share:
        its matches as a share of all rows.
        """
        tables = self._results(self.rules).tables
        counted: pd.DataFrame = tables["rule_outcome"].to_pandas()[["country_code", "rule", "matched", "dropped"]]
        kept = _kept(tables["segment_vote"].to_pandas(), tables["unplaced"].to_pandas())
        total = counted.groupby("rule", as_index=False)[["matched", "dropped"]].sum().assign(country_code=ALL)
        counted = pd.concat([counted.sort_values("country_code"), total])
        rows = kept.add(counted.groupby("country_code")["dropped"].sum(), fill_value=0).astype(int)
        rows[ALL] = self.history.num_rows
        order = {rule.name: position for position, rule in enumerate(self.rules.all_rules)}
        counted = counted.sort_values("rule", key=lambda names: names.map(order), kind="stable")
        counted["left"] = counted["country_code"].map(rows) - counted.groupby("country_code")["dropped"].cumsum()
        counted["share"] = counted["matched"] / counted["country_code"].map(rows)
        return counted.set_index(["rule", "country_code"]).loc[[rule.name for rule in self.rules.rules]]

    def bands(self) -> pd.DataFrame:
        """Return each reason's matches as a share of all rows, its band, and whether the share is inside."""
        matched = self._results(self.rules).tables["rule_outcome"].to_pandas().groupby("rule")["matched"].sum()
        lines = [(rule.name, int(matched[rule.name]), *rule.share) for rule in self.rules.all_rules]
        table = pd.DataFrame(lines, columns=["rule", "matched", "lowest", "highest"]).set_index("rule")
        table.insert(1, "share", table["matched"] / self.history.num_rows)
        return table.assign(inside=table["share"].between(table["lowest"], table["highest"]))

    def overlap(self) -> pd.DataFrame:
        """Return how many rows match both the line's and the column's rule; on the diagonal, that one rule."""
        names, bits = [rule.name for rule in self.rules.rules], self.rules.bits
        tally = self._tally(self.rules).to_pandas()

        def rows(pair: int) -> int:
            return int(tally.loc[tally["matched"] & pair == pair, "rows"].sum())

        return pd.DataFrame({one: [rows(bits[one] | bits[other]) for other in names] for one in names}, index=names)

    def answers(self, rules: RuleBook) -> pd.DataFrame:
        """Return each segment's answer under these rules.

        Columns: the amount, votes for it, rows that voted, basis, tied; the number of sends, the 95 % interval of the
        share by send, and whether the lead is clear (missing below 10 sends).
        """
        frame: pd.DataFrame = self._results(rules).tables["segment"].to_pandas().astype({"voucher_amount": float})
        frame = frame.sort_values(["country_code", "segment_name", "position"]).set_index(ANSWER)
        return frame[["voucher_amount", "uses", "rows", "basis", "tied", "sends", "share_low", "share_high", "clear"]]

    def effects(self, rules: RuleBook) -> pd.DataFrame:
        """Return what each amount did, with the columns of `voucher.effect`; no line if no outcome is known."""
        frame: pd.DataFrame = self._results(rules).tables["effect"].to_pandas()
        return frame.astype({"compared_with": float, AMOUNT: float}).set_index([*ANSWER, AMOUNT]).sort_index()

    def policies(self, rules: RuleBook) -> pd.DataFrame:
        """Return what each policy is worth, with the columns of `voucher.policy`; no line if no outcome is known."""
        frame: pd.DataFrame = self._results(rules).tables["policy"].to_pandas()
        return frame.set_index(["country_code", "segment_name", "policy"]).sort_index()

    def try_rule(self, drop_when: str, against: RuleBook | None = None) -> pd.DataFrame:
        """Return which answers one more rule would change, compared with the saved rules or others, on this history.

        One line per changed answer: amount, votes and rows, before and after. Raises RuleError.
        """
        against = against or RuleBook.load()
        more = RuleBook((*against.rules, Rule("tried", drop_when, "It is only tried.", (0, 1))))
        return changed(self.answers(against), self.answers(more))

    def save(self, path: Path = RULES_FILE) -> Path:
        """Write the rules to the file that the pipeline reads; return its path."""
        self.rules.save(path)
        return path

    def _tally(self, rules: RuleBook) -> pa.Table:
        with engine.open_duckdb() as within, engine.evaluate(self.history, rules, self.segments, within=within) as part:
            return part.tally()

    def _results(self, rules: RuleBook) -> Results:
        return aggregate([self._tally(rules)], rules, self.segments)


def _together(tables: list[pa.Table]) -> pa.Table:
    """Return one table of all. If column types differ, as in two editions of a history, the columns are texts."""
    types = {(field.name, field.type) for table in tables for field in table.schema if not pa.types.is_null(field.type)}
    if len(types) == len({name for name, _ in types}):
        return pa.concat_tables(tables, promote_options="permissive")
    texts = pa.schema([(name, pa.string()) for name in columns.ALL if any(name in t.column_names for t in tables)])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        found = [connection.from_arrow(table) for table in tables]
        read = [each.project(columns.texts(engine.types(each))).to_arrow_table() for each in found]
    return pa.concat_tables(each.select(texts.names).cast(texts) for each in read)


def changed(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of two `Workbench.answers` whose amounts differ, side by side."""
    both = pd.merge(before, after, how="outer", left_index=True, right_index=True, suffixes=("_before", "_after"))
    differ = both["voucher_amount_before"].ne(both["voucher_amount_after"])
    names = [f"{column}_{when}" for column in ("voucher_amount", "uses", "rows") for when in ("before", "after")]
    return both.loc[differ, names]


def _kept(votes: pd.DataFrame, unplaced: pd.DataFrame) -> pd.Series:
    """Return the kept rows by country: those that voted and those that couldn't, in any one kind."""
    kind = unplaced["segment_name"].iloc[0] if len(unplaced) else ""
    voted = votes[votes["segment_name"] == kind].groupby("country_code")["uses"].sum()
    return voted.add(unplaced[unplaced["segment_name"] == kind].set_index("country_code")["rows"], fill_value=0)
