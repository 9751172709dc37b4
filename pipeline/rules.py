"""The cleaning rules: their file, their checks, and the SQL that types the columns and names what a row breaks.

`notebooks/02_cleaning_rules.ipynb` writes `pipeline/rules.toml` through this module; the DAG, the command line and
the tests read it back.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import tomlkit
from pydantic.dataclasses import dataclass

from pipeline import PipelineError, conditions, tomlfile

RULES_FILE = Path(__file__).with_name("rules.toml")
Band = tuple[float, float]

# How each column's text is read: what it must look like in full, and its cast. DuckDB's TRY_CAST alone would read
# '12.5' as 13, '1e3' as 1000 and 'infinity' as a time, in silence. Every type a file may use for a column is read by
# way of its text.
TIME = (
    r"[1-9]\d{3}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?",
    "TRY_CAST({} AS TIMESTAMPTZ)",
)
READERS = {
    "timestamp": TIME,
    "country_code": (r"[^\x00]+", "{}"),
    "first_order_ts": TIME,
    "last_order_ts": TIME,
    "total_orders": (r"\d+(\.0*)?", "TRY_CAST(split_part({}, '.', 1) AS INTEGER)"),
    "voucher_amount": (r"\d+(\.\d{1,2}0*)?", "TRY_CAST({} AS DECIMAL(12, 2))"),
}
COLUMNS = tuple(READERS)
RESERVED = {
    *COLUMNS,
    "dropped_by",
    "unreadable",
    "rows",
    "data_from",
    "data_to",
}  # columns of the SQL here and in segments.py
MISSING_COUNTRY = "missing_country_code"
UNREADABLE = {f"unreadable_{column}": f"The row holds a {column} that can't be read as one." for column in COLUMNS} | {
    MISSING_COUNTRY: "Without a country the row belongs to no answer."
}


class RuleError(PipelineError):
    """A rule or a rule file that can't be used."""


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Rule:
    """One reason to drop a row.

    name: as it stands in the tables and in what people read; drop_when: a SQL condition over the six typed columns
    (times are UTC), None for the built-in reasons; because: the analyst's reason; share: lowest and highest share of
    all rows that may match, both included, outside which a run isn't published.
    """

    name: str
    drop_when: str | None
    because: str
    share: Band

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.name) or self.name in RESERVED:
            raise RuleError(f"rule name {self.name!r} is not lower-case words joined by _; e.g. unknown_customer")
        if not self.because.strip():
            raise RuleError(f"rule {self.name}: 'because' is empty; say why such a row can't be used")
        if not 0 <= self.share[0] <= self.share[1] <= 1:
            raise RuleError(f"rule {self.name}: share {list(self.share)} is not [lowest, highest] within 0 and 1")
        if self.drop_when is not None:
            self.condition()

    def condition(self, dialect: str = "duckdb") -> str:
        """The rule's condition as SQL of `dialect`, rendered from the checked tree."""
        try:
            return conditions.parse(self.drop_when or "").sql(dialect, comments=False)
        except conditions.ConditionError as error:
            raise RuleError(f"rule {self.name}: {error}") from None


@dataclass(frozen=True, config=tomlfile.CHECKS)
class RuleBook:
    """The rules in file order, and the share of unreadable rows that is still published (per built-in reason)."""

    rules: tuple[Rule, ...]
    unreadable_share: Band = (0.0, 0.0)

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.every]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RuleError(f"rule {twice[0]} stands twice; each rule needs a name of its own")

    @property
    def every(self) -> tuple[Rule, ...]:
        """The built-in reasons and then the rules: the order in which a dropped row is attributed."""
        built_in = (Rule(name, None, because, self.unreadable_share) for name, because in UNREADABLE.items())
        return (*built_in, *self.rules)

    @property
    def hash(self) -> str:
        """Changes when what the rules do to a row changes; reasons and shares don't count."""
        return sha256(self.sql("part").encode()).hexdigest()[:16]

    def sql(self, source: str) -> str:
        """A SELECT over the raw rows of `source` (a table or view): the six typed columns, a boolean column for each
        reason and rule that tells whether the row matches it, and `dropped_by`, the first that does, NULL for a row
        that is kept. Of each column there is also the text that it was read from, as `<column>_text`.
        """
        reasons = "\n    ".join(f"""WHEN "{rule.name}" THEN '{rule.name}'""" for rule in self.every)
        return f"""WITH texts AS (SELECT
    {_each(_text)}
  FROM {source}
), typed AS (SELECT *,
    {_each(_value)}
  FROM texts
), readable AS (SELECT *,
    {_each(_unreadable)},
    country_code IS NULL AS {MISSING_COUNTRY},
    {" OR ".join(UNREADABLE)} AS unreadable
  FROM typed
), matched AS (SELECT {", ".join(["* EXCLUDE (unreadable)", *(_match(rule) for rule in self.rules)])}
  FROM readable
)
SELECT *, CASE
    {reasons} END AS dropped_by
  FROM matched"""

    def save(self, path: Path = RULES_FILE) -> None:
        """Write the file that the pipeline reads; the same rules give the same bytes."""
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
        path.write_text(tomlkit.dumps(document), encoding="utf-8")

    @classmethod
    def load(cls, path: Path = RULES_FILE) -> "RuleBook":
        """Read and check a rule file; raises RuleError naming the file, the rule and what is wrong with it."""
        try:
            file = tomlfile.read(path, _File)
            return cls(file.rule, file.unreadable.share)
        except PipelineError as error:
            raise RuleError(f"{path}: {error}; `make rules` writes it anew from the notebook") from None


class _Unreadable(tomlfile.Checked):
    share: Band = (0.0, 0.0)


class _File(tomlfile.Checked):
    rule: tuple[Rule, ...] = ()
    unreadable: _Unreadable = _Unreadable()


def _each(expression: Callable[[str], str]) -> str:
    return ",\n    ".join(expression(column) for column in COLUMNS)


def _text(column: str) -> str:
    text = f"nullif(trim(CAST({column} AS VARCHAR), E' \\t\\n\\x0B\\f\\r'), '')"
    blank_too = text if column == "country_code" else f"nullif(nullif({text}, 'nan'), 'NaN')"
    return f"{blank_too} AS {column}_text"


def _value(column: str) -> str:
    pattern, cast = READERS[column]
    text = f"{column}_text"
    return f"CASE WHEN regexp_full_match({text}, '{pattern}', 's') THEN {cast.format(text)} END AS {column}"


def _unreadable(column: str) -> str:
    return f"{column}_text IS NOT NULL AND {column} IS NULL AS unreadable_{column}"


def _match(rule: Rule) -> str:
    return f'coalesce({rule.condition()}, false) AND NOT unreadable AS "{rule.name}"'
