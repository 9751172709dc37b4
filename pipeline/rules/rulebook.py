"""The cleaning rules: their file, their checks, and the SQL that types the columns and marks the rules a row matches.

`notebooks/02_cleaning_rules.ipynb` writes `pipeline/rules.toml` through this module; the pipeline and the tests read
it.
"""

import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import tomlkit
from pydantic.dataclasses import dataclass

from pipeline import PipelineError
from pipeline.rules import columns, conditions, tomlfile
from pipeline.rules.columns import ALL, COLUMNS, OPTIONAL
from pipeline.rules.measures import DAYS
from pipeline.rules.sql.tallies import RESERVED
from shared import files

RULES_FILE = Path(__file__).parents[1] / "rules.toml"
Band = tuple[float, float]
TAKEN = RESERVED | {measure.name for measure in DAYS}
MISSING_COUNTRY = "missing_country_code"
UNREADABLE = {f"unreadable_{column}": f"The row holds a {column} that can't be read as one." for column in ALL} | {
    MISSING_COUNTRY: "Without a country the row belongs to no answer."
}


MAX_RULES = 62  # reasons and rules: a bit of a BIGINT each


class RuleError(PipelineError):
    """A rule or a rule file that can't be used."""


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Rule:
    """One reason to drop a row.

    name: as in the tables and in messages. drop_when: a SQL condition over the six typed columns (times are UTC) and
    the measures; None for the built-in reasons. because: the analyst's reason. share: lowest and highest share of all
    rows that may match, inclusive; outside it the run isn't published.
    """

    name: str
    drop_when: str | None
    because: str
    share: Band

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.name) or self.name in TAKEN:
            raise RuleError(f"rule name {self.name!r} is not lower-case words joined by _; e.g. unknown_customer")
        if not self.because.strip():
            raise RuleError(f"rule {self.name}: 'because' is empty; say why such a row can't be used")
        if not 0 <= self.share[0] <= self.share[1] <= 1:
            raise RuleError(f"rule {self.name}: share {list(self.share)} is not [lowest, highest] within 0 and 1")
        if self.drop_when is not None:
            self.condition()

    def condition(self, dialect: str = "duckdb") -> str:
        """Return the rule's condition as SQL of `dialect`, over the typed columns, measures and `country_key`."""
        try:
            return conditions.sql(self.drop_when or "", dialect)
        except conditions.ConditionError as error:
            raise RuleError(f"rule {self.name}: {error}") from None


@dataclass(frozen=True, config=tomlfile.CHECKS)
class RuleBook:
    """The rules in file order, and the share of unreadable rows that may be published, for each built-in reason."""

    rules: tuple[Rule, ...]
    unreadable_share: Band = (0.0, 0.0)

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.all_rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RuleError(f"there are two rules named {twice[0]}; each needs its own name")
        if len(names) > MAX_RULES:
            most = MAX_RULES - len(UNREADABLE)
            raise RuleError(f"there are {len(self.rules)} rules, but at most {most} are possible; combine some with OR")

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """The built-in reasons, then the rules: the order in which a dropped row is attributed."""
        built_in = (Rule(name, None, because, self.unreadable_share) for name, because in UNREADABLE.items())
        return (*built_in, *self.rules)

    @property
    def bits(self) -> dict[str, int]:
        """The bit of each reason and rule in the column `matched`."""
        return {rule.name: 1 << place for place, rule in enumerate(self.all_rules)}

    @property
    def hash(self) -> str:
        """A hash that changes if the rules treat any row differently. Reasons and shares don't count."""
        return sha256(self.sql("part").encode()).hexdigest()[:16]

    def sql(self, source: str, more: Iterable[str] = ()) -> str:
        """Return a SELECT over the rows of `source`, a table or view of texts.

        Its columns: the typed columns; `matched`, whose bits tell which reasons and rules the row matches, 0 for a
        kept row; `unreadable_row`, the texts of a row that can't be read; and `more`, such as `timestamp_text`.
        `evaluate` creates the source and sets the variables that hold its countries.
        """
        bits = " + ".join(f'CASE WHEN "{name}" THEN {bit} ELSE 0 END' for name, bit in self.bits.items())
        shown = f"CAST({_shown(COLUMNS)} AS VARCHAR)"
        also = f"CASE WHEN {' OR '.join(f'unreadable_{column}' for column in OPTIONAL)} THEN {_shown(OPTIONAL)} END"
        days = ", ".join(f"{day.sql} AS {day.name}" for day in DAYS if self.compares(day.name))
        return f"""WITH texts AS (SELECT
    {_each(lambda column: f"CAST({column} AS VARCHAR) AS {column}_text")}
  FROM {source}
), moments AS (SELECT *, {columns.moment()}
  FROM texts
), cut AS (SELECT *,
    {_each(columns.cut)}
  FROM moments
), typed AS (SELECT *,
    {_each(columns.typed)},
    {columns.COUNTRY_KEY}
  FROM cut
), readable AS (SELECT *,
    {_each(columns.unreadable)},
    country_code IS NULL AS {MISSING_COUNTRY},
    {" OR ".join(UNREADABLE)} AS unreadable
  FROM typed
), matching AS (SELECT {", ".join(["*", *(_match(rule) for rule in self.rules)])}
  FROM {f"(SELECT *, {days} FROM readable)" if days else "readable"}
)
SELECT {", ".join([*ALL, *more])}, CAST({bits} AS BIGINT) AS matched,
    CASE WHEN unreadable THEN left(concat({shown}, {also}), 400) END AS unreadable_row
  FROM matching"""

    def compares(self, column: str) -> bool:
        """Return whether a condition has this column or measure, or `country_key`."""
        return any(re.search(rf"\b{column}\b", rule.condition()) for rule in self.rules)

    def flags(self) -> list[str]:
        """Return SQL for a boolean column for each reason and rule, from `matched`."""
        return [f'matched & {bit} <> 0 AS "{name}"' for name, bit in self.bits.items()]

    def dropped_by(self) -> str:
        """Return SQL for the first reason or rule that a row matches, from `matched`; NULL for a kept row."""
        whens = (f"WHEN matched & {bit} <> 0 THEN '{name}'" for name, bit in self.bits.items())
        return f"CASE {' '.join(whens)} END AS dropped_by"

    def save(self, path: Path = RULES_FILE) -> None:
        """Replace the file that the pipeline reads, atomically. The same rules give the same bytes."""
        document = tomlkit.document()
        document.add(
            tomlkit.comment("Written by notebooks/02_cleaning_rules.ipynb: change the rules there, then `make rules`.")
        )
        if self.unreadable_share != (0.0, 0.0):
            document.add("unreadable", tomlkit.item({"share": list(self.unreadable_share)}))
        tables = tomlkit.aot()
        for rule in self.rules:
            entry = {"name": rule.name, "drop_when": rule.drop_when, "because": rule.because, "share": list(rule.share)}
            tables.append(tomlkit.item(entry))
        document.add("rule", tables)
        files.replace(path, tomlkit.dumps(document))

    @classmethod
    def load(cls, path: Path = RULES_FILE) -> "RuleBook":
        """Read and check a rule file. Raises RuleError with the file, the rule and what is wrong with it."""
        try:
            file = tomlfile.read(path, _File)
            return cls(file.rule, file.unreadable.share)
        except PipelineError as error:
            raise RuleError(f"{path}: {error}; `make rules` writes it again from the notebook") from None


class _Unreadable(tomlfile.Checked):
    share: Band = (0.0, 0.0)


class _File(tomlfile.Checked):
    rule: tuple[Rule, ...] = ()
    unreadable: _Unreadable = _Unreadable()


def _each(expression: Callable[[str], str]) -> str:
    return ",\n    ".join(expression(column) for column in ALL)


def _shown(of: Iterable[str]) -> str:
    return f"struct_pack({', '.join(f'{column} := {columns.trimmed(column)}' for column in of)})"


def _match(rule: Rule) -> str:
    return f'coalesce({rule.condition()}, false) AND NOT unreadable AS "{rule.name}"'
