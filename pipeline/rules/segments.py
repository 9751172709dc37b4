"""The segments: their file, its checks, and the SQL that assigns rows to segments and finds the most used amounts.

`evaluate` runs the SQL, for notebooks and the DAG alike. All that the answers need of a part is its *tally*: one row
for each distinct outcome, with the number of rows. Tallies of parts are added up.
"""

import re
from hashlib import sha256
from pathlib import Path

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from pipeline import PipelineError
from pipeline.rules import tomlfile
from pipeline.rules.columns import COLUMNS
from pipeline.rules.intervals import INTERVALS

SEGMENTS_FILE = Path(__file__).parents[1] / "segments.toml"

A_DAY = 86_400_000_000  # microseconds
TODAY = "CAST(getvariable('today') AS DATE)"


def _utc_day(time: str) -> str:
    """Return SQL that numbers UTC days from before all possible times, so that // rounds down.

    A cast to DATE would consult the time zone's rules and take ten times as long.
    """
    return f"(epoch_us({time}) + {1_000_000 * A_DAY}) // {A_DAY}"


# How a row of history is measured. The reference day is the pinned day (a DuckDB variable) or else the row's own UTC
# day.
MEASURES = {
    "total_orders": "total_orders",
    "days_since_last_order": f"coalesce({_utc_day(TODAY)}, {_utc_day('timestamp')}) - {_utc_day('last_order_ts')}",
}

# From the `tallies` of batches to that of a part, and from the tally of all parts and the segments (a table `defined`)
# to the published tables. An amount that is NULL, or a measure in no segment, doesn't vote.
ADDED_UP = """SELECT * REPLACE (CAST(sum(rows) AS BIGINT) AS rows, min(data_from) AS data_from, max(data_to) AS data_to,
    min(dropped_row) AS dropped_row, min(unreadable_row) AS unreadable_row)
  FROM tallies GROUP BY ALL ORDER BY ALL"""

PLACED = """SELECT country_code, segment_name, segment, voucher_amount, sent, rows
  FROM (SELECT * FROM tally WHERE dropped_by IS NULL)
  UNPIVOT INCLUDE NULLS (segment FOR segment_name IN ({kinds}))"""

TOTALS = """SELECT CAST(sum(rows) AS BIGINT) AS rows_in,
    CAST(coalesce(sum(rows) FILTER (WHERE dropped_by IS NULL), 0) AS BIGINT) AS rows_kept,
    min(data_from) FILTER (WHERE dropped_by IS NULL) AS data_from,
    max(data_to) FILTER (WHERE dropped_by IS NULL) AS data_to
  FROM tally"""

OUTCOMES = """SELECT coalesce(country_code, '') AS country_code, rule,
    CAST(coalesce(sum(rows) FILTER (WHERE matched), 0) AS BIGINT) AS matched,
    CAST(coalesce(sum(rows) FILTER (WHERE dropped_by = rule), 0) AS BIGINT) AS dropped,
    replace(left(coalesce(min(unreadable_row) FILTER (WHERE matched),
        CAST(min(dropped_row) FILTER (WHERE matched) AS VARCHAR)), 400), chr(0), '\\0') AS example
  FROM tally UNPIVOT (matched FOR rule IN ({rules})) GROUP BY ALL"""

A_VOTE = "segment IS NOT NULL AND voucher_amount IS NOT NULL"

UNPLACED = f"""SELECT country_code, segment_name,
    CAST(coalesce(sum(rows) FILTER (WHERE NOT ({A_VOTE})), 0) AS BIGINT) AS rows
  FROM placed GROUP BY ALL"""

VOTES = f"""SELECT country_code, segment_name, segment, voucher_amount, CAST(sum(rows) AS BIGINT) AS uses
  FROM placed WHERE {A_VOTE} GROUP BY ALL"""

# Most votes win, a tie goes to the smaller amount; a segment without a vote answers with its country's most used
# amount.
ANSWERS = """WITH ranked AS (
  SELECT *, CAST(sum(uses) OVER segment AS BIGINT) AS rows,
    row_number() OVER (segment ORDER BY uses DESC, voucher_amount) AS place
  FROM votes WINDOW segment AS (PARTITION BY country_code, segment_name, segment)
), country AS (
  SELECT country_code, voucher_amount
  FROM tally WHERE dropped_by IS NULL AND voucher_amount IS NOT NULL
  GROUP BY country_code, voucher_amount
  QUALIFY row_number() OVER (PARTITION BY country_code ORDER BY sum(rows) DESC, voucher_amount) = 1
)
SELECT country_code, segment_name, segment, defined.position, measure, lower_bound, upper_bound,
    coalesce(winner.voucher_amount, country.voucher_amount) AS voucher_amount,
    coalesce(winner.uses, 0) AS uses, coalesce(winner.rows, 0) AS rows,
    second.voucher_amount AS runner_up_amount, second.uses AS runner_up_uses,
    CASE WHEN winner.uses IS NULL THEN 'country' ELSE 'segment' END AS basis,
    coalesce(second.uses = winner.uses, false) AS tied
  FROM country CROSS JOIN defined
  LEFT JOIN (SELECT * FROM ranked WHERE place = 1) AS winner USING (country_code, segment_name, segment)
  LEFT JOIN (SELECT * FROM ranked WHERE place = 2) AS second USING (country_code, segment_name, segment)"""


class SegmentError(PipelineError):
    """A segments file that can't be used."""


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Segment:
    """A label and its bounds in the kind's unit, both inclusive; `upper` is None if there is no upper bound."""

    label: str
    lower: StrictInt = Field(validation_alias="from")
    upper: StrictInt | None = Field(default=None, validation_alias="to")


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Kind:
    """One way to group customers: a measure and its segments, from 0 upwards without a gap."""

    name: str
    measure: str
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.name):
            raise SegmentError(f"kind {self.name!r} is not lower-case words joined by _; e.g. frequent_segment")
        if self.measure not in MEASURES:
            raise SegmentError(f"kind {self.name}: measure {self.measure!r} is not one of {', '.join(MEASURES)}")
        expected: int | None = 0
        for segment in self.segments:
            if segment.lower != expected:
                found = f"segment {segment.label} starts at {segment.lower}, not at {expected}"
                raise SegmentError(f"kind {self.name}: {found}")
            if segment.upper is not None and segment.upper < segment.lower:
                raise SegmentError(f"kind {self.name}: segment {segment.label} ends before it starts")
            expected = None if segment.upper is None else segment.upper + 1
        if expected is not None:
            raise SegmentError(f"kind {self.name}: the last segment has an upper bound; remove its `to`")
        if len({segment.label for segment in self.segments}) < len(self.segments):
            raise SegmentError(f"kind {self.name}: two segments have the same label")

    def placed(self) -> str:
        """Return SQL for the label of the row's segment; NULL if it has none (no measure, or a negative one)."""
        measure = MEASURES[self.measure]
        whens = (
            f"WHEN {measure} >= {segment.lower} THEN {_text(segment.label)}" for segment in reversed(self.segments)
        )
        return f'CASE {" ".join(whens)} END AS "{self.name}"'


@dataclass(frozen=True, config=tomlfile.CHECKS)
class SegmentBook:
    """The segment kinds in file order."""

    kinds: tuple[Kind, ...]

    @classmethod
    def load(cls, path: Path = SEGMENTS_FILE) -> "SegmentBook":
        """Read and check a segments file. Raises SegmentError with the file, the kind and what is wrong with it."""
        try:
            return cls(tomlfile.read(path, _File).kind)
        except PipelineError as error:
            raise SegmentError(f"{path}: {error}") from None

    @property
    def hash(self) -> str:
        """A hash that changes if rows fall into other segments, or the most used amount is found differently."""
        sql = [self.tally, self.defined(), OUTCOMES, PLACED, UNPLACED, VOTES, ANSWERS, INTERVALS]
        return sha256("\n".join(sql).encode()).hexdigest()[:16]

    @property
    def tally(self) -> str:
        """A SELECT over the table `judged` (see RuleBook.sql): for each distinct outcome, how many `rows` had it.

        The outcome of a kept row is its country, its amount, its segment of each kind and the number of its UTC day,
        `sent`; the first and last `timestamp` are added. The outcome of a dropped row is its country and what it
        `matched`; an example is added: the first in order, as it was read, and the texts of the first unreadable one.
        """
        row = f"struct_pack({', '.join(f'{column} := {column}' for column in COLUMNS)})"
        return f"""WITH dropped AS (
  SELECT country_code, matched, count(*) AS rows, min({row}) AS dropped_row, min(unreadable_row) AS unreadable_row
  FROM judged WHERE matched <> 0 GROUP BY ALL
), kept AS (
  SELECT country_code, matched, voucher_amount, {", ".join(kind.placed() for kind in self.kinds)},
    CAST({_utc_day("timestamp")} AS INTEGER) AS sent,
    count(*) AS rows, min(timestamp) AS data_from, max(timestamp) AS data_to
  FROM judged WHERE matched = 0 GROUP BY ALL
)
FROM dropped UNION ALL BY NAME FROM kept"""

    def defined(self) -> str:
        """Return a SELECT of the segments: segment_name, segment, position, measure, lower_bound, upper_bound."""
        rows = ",\n    ".join(
            f"({_text(kind.name)}, {_text(segment.label)}, {position}, {_text(kind.measure)}, {segment.lower}, "
            f"{'NULL' if segment.upper is None else segment.upper})"
            for kind in self.kinds
            for position, segment in enumerate(kind.segments)
        )
        return f"""SELECT * FROM (VALUES
    {rows}) AS defined(segment_name, segment, position, measure, lower_bound, upper_bound)"""


class _File(tomlfile.Checked):
    kind: tuple[Kind, ...] = Field(min_length=1)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
