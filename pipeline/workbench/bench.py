"""The workbench: a history, the rules that were added so far, and the segments."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.evaluate.totals import Results
from pipeline.rules import conditions
from pipeline.rules.rulebook import RULES_FILE, Rule, RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.workbench import backtest as backtests
from pipeline.workbench import comparison, counts, evidence, history, suggestions, trials
from pipeline.workbench.counts import AMOUNT, ANSWER
from pipeline.workbench.segments import Segments
from shared import environment


class Workbench:
    """A history and the rules that were added so far."""

    def __init__(self, history: pa.Table | pd.DataFrame, source: str = "a table in memory") -> None:
        """Take a raw history, with the columns as the file has them. `source` says where it comes from."""
        self.source = source
        self.history = history if isinstance(history, pa.Table) else pa.Table.from_pandas(history, preserve_index=False)
        self.rules = RuleBook((), RuleBook.load(RULES_FILE).unreadable_share if RULES_FILE.exists() else (0.0, 0.0))
        self.segments = Segments(self._sizes, self._suggest)
        self._placed: dict[tuple[str, str], pd.DataFrame] = {}

    @classmethod
    def open(cls, uri: str, anonymous: bool = False) -> "Workbench":
        """Open what `uri` names, as VOUCHER_SOURCE would, and read all of it into memory. Raises SourceError."""
        return cls(*history.read(uri, anonymous))

    @classmethod
    def from_environment(
        cls, default: Callable[[], pa.Table], environ: Mapping[str, str] = environment.OF_PROCESS
    ) -> "Workbench":
        """Open the history of VOUCHER_SOURCE or, if it is unset, the one that `default` returns."""
        if uri := environment.text(environ, "VOUCHER_SOURCE"):
            return cls.open(uri, environment.yes_no(environ, "VOUCHER_S3_ANONYMOUS"))
        return cls(default(), history.SAMPLE)

    def __str__(self) -> str:
        """Return where the history comes from and its number of rows, so that nobody confuses two histories."""
        return f"{self.source}, {self.history.num_rows:,} rows"

    @property
    def book(self) -> SegmentBook:
        """The segments in use."""
        return self.segments.book

    @property
    def rules_in_use(self) -> RuleBook:
        """The rules that were added to this workbench or, if there are none, the saved ones."""
        return self.rules if self.rules.rules else RuleBook.load()

    @cached_property
    def typed(self) -> pd.DataFrame:
        """The history with typed columns, as the rules see it, in file order. Unreadable rows are left out.

        Times are UTC; orders and amounts are numbers or missing.
        """
        return counts.typed(self.history, self.book)

    @property
    def placed(self) -> pd.DataFrame:
        """The rows of `typed` that the rules in use keep, with a column for each segment kind: the row's segment."""
        rules, in_use = self.rules_in_use, self.book
        if (key := (rules.hash, in_use.hash)) not in self._placed:
            self._placed = {key: counts.placed(self.history, rules, in_use)}
        return self._placed[key]

    def add(self, name: str, drop_when: str, because: str, share: tuple[float, float]) -> pd.DataFrame:
        """Add a rule after the others, or replace the one of this name; return its lines of `explain()`.

        Raises RuleError with the column, the position and the remedy. Warns, with a RuleWarning, if its share of the
        history's rows is outside `share`, or if it names a country that the history doesn't have.
        """
        others = tuple(rule for rule in self.rules.rules if rule.name != name)
        self.rules = replace(self.rules, rules=(*others, Rule(name, drop_when, because, share)))
        results = self._results(self.rules)
        unknown = trials.unknown_countries(conditions.countries(drop_when), results)
        broken = trials.broken_bands(counts.in_bands(results, self.rules).loc[[name]])
        for fault in (*(f"rule {name}: {each}" for each in unknown), *broken):
            warnings.warn(fault, trials.RuleWarning, stacklevel=2)
        return pd.DataFrame(counts.explained(results, self.rules).xs(name, level="rule"))

    def explain(self) -> pd.DataFrame:
        """Return the effect of each rule, by rule and country.

        matched: the rows it matches. dropped: those that no rule before it drops. left: the rows left after it. share:
        its matches as a share of all rows.
        """
        return counts.explained(self._results(self.rules), self.rules)

    def bands(self) -> pd.DataFrame:
        """Return each reason's matches as a share of all rows, its band, and whether the share is inside."""
        return counts.in_bands(self._results(self.rules), self.rules)

    def check_bands(self) -> pd.DataFrame:
        """Return `bands()`. Raises RuleError, with share, band and remedy, if a share is outside its band."""
        return trials.check_bands(self.bands())

    def overlap(self) -> pd.DataFrame:
        """Return how many rows match both the line's and the column's rule; on the diagonal, that one rule."""
        return counts.overlaps(self._tally(self.rules), self.rules)

    def answers(self, rules: RuleBook) -> pd.DataFrame:
        """Return each segment's answer under these rules.

        Columns: the amount, votes for it, rows that voted, basis, tied; the number of sends, the 95 % interval of the
        share by send, and whether the lead is clear (missing below 10 sends).
        """
        return counts.answers(self._results(rules))

    def effects(self, rules: RuleBook) -> pd.DataFrame:
        """Return what each amount did, with the columns of `voucher.effect`; no line if no outcome is known."""
        frame: pd.DataFrame = self._results(rules).tables["effect"].to_pandas()
        return frame.astype({"compared_with": float, AMOUNT: float}).set_index([*ANSWER, AMOUNT]).sort_index()

    def policies(self, rules: RuleBook) -> pd.DataFrame:
        """Return what each policy is worth, with the columns of `voucher.policy`; no line if no outcome is known."""
        frame: pd.DataFrame = self._results(rules).tables["policy"].to_pandas()
        return frame.set_index(["country_code", "segment_name", "policy"]).sort_index()

    def try_rule(self, drop_when: str, against: RuleBook | None = None) -> trials.TriedRule:
        """Return the rows that one more rule would drop, and the answers it would change, on this history.

        against: the other rules; without it, the saved ones. Raises RuleError, also for a country that the history
        doesn't have.
        """
        against = against or RuleBook.load()
        more = RuleBook((*against.rules, Rule("tried", drop_when, "It is only tried.", (0, 1))))
        after = self._results(more)
        trials.check_countries(conditions.countries(drop_when), after)
        return trials.tried(drop_when, self._results(against), after, more, self.book)

    def dropped(self, rule: str, country: str | None = None) -> pd.DataFrame:
        """Return the rows that one of the rules in use drops, as they stand in the history: its columns as text.

        rule: a rule, or a built-in reason such as unreadable_timestamp. A row that matches several rules counts for the
        first. country: any spelling. Raises RuleError.
        """
        found = counts.dropped(self.history, self.rules_in_use, rule, country)
        if country and found.empty:
            trials.check_countries([country], self._results(self.rules_in_use))
        return found

    def save(self, path: Path = RULES_FILE) -> Path:
        """Write the rules to the file that the pipeline reads; return its path."""
        self.rules.save(path)
        return path

    def _sizes(self, kind: str) -> pd.DataFrame:
        rows = self.answers(self.rules_in_use)["rows"]
        own = rows[rows.index.get_level_values("segment_name") == kind].droplevel("segment_name")
        return pd.DataFrame(own.unstack("country_code", sort=False))

    def intervals(self) -> pd.DataFrame:
        """Return how sure each answer is, under the rules in use: see `evidence.intervals`."""
        return evidence.intervals(evidence.votes(self.placed, self.book), self.answers(self.rules_in_use))

    def weekly_winners(self) -> evidence.WeeklyWinners:
        """Compare each answer under the rules in use with the most used amount of each week."""
        votes = evidence.votes(self.placed, self.book)
        return evidence.weekly_winners(votes, self.answers(self.rules_in_use), self.book)

    def backtest(self, other: backtests.Books | None = None) -> backtests.Backtest:
        """Test on the later vouchers what the segments in use, and others, learn from the earlier ones.

        other: segments to compare with, or one SegmentBook for each country. Raises BacktestError.
        """
        return backtests.backtest(self.placed, self.book, other)

    def _suggest(self, name: str, most: int, by_country: bool) -> suggestions.Suggestion:
        return suggestions.suggest(self.placed, self.book, name, most, by_country)

    @property
    def edition(self) -> comparison.Edition:
        """What the rules and segments in use count in this history."""
        return comparison.Edition(self.source, self._results(self.rules_in_use))

    def compare(self, other: "Workbench | comparison.Edition") -> comparison.Comparison:
        """Compare another history, or the `published()` run, with this one: rules, countries, amounts, answers, drift.

        The other one is `before`, this one `after`; each has the rules and segments in use there.
        """
        before = other.edition if isinstance(other, Workbench) else other
        if not isinstance(before, comparison.Edition):
            raise TypeError(f"compare takes a Workbench or published(), not {other!r:.60}")
        return comparison.compare(before, self.edition, self.book)

    def _tally(self, rules: RuleBook) -> pa.Table:
        return counts.tally(self.history, rules, self.book)

    def _results(self, rules: RuleBook) -> Results:
        return counts.results(self.history, rules, self.book)
