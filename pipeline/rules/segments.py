"""The segments: their file, its checks, and the SQL that assigns rows to segments and counts them.

`evaluate` runs the SQL, for notebooks and the DAG alike.
"""

import re
from hashlib import sha256
from pathlib import Path

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from pipeline import PipelineError
from pipeline.rules import tomlfile
from pipeline.rules.columns import COLUMNS
from pipeline.rules.effects import ANSWERS, CHOOSE, EFFECTS, POLICIES, TRIED
from pipeline.rules.intervals import INTERVALS
from pipeline.rules.lottery import DRAWS, Holdout, Lottery
from pipeline.rules.tallies import MOST_USED, OUTCOME_SUMS, OUTCOMES, PLACED, TYPES, UNPLACED, VOTES, utc_day

SEGMENTS_FILE = Path(__file__).parents[1] / "segments.toml"

TODAY = "CAST(getvariable('today') AS DATE)"

# How a row of history is measured. The reference day is the pinned day (a DuckDB variable) or else the row's own UTC
# day.
MEASURES = {
    "total_orders": "total_orders",
    "days_since_last_order": f"coalesce({utc_day(TODAY)}, {utc_day('timestamp')}) - {utc_day('last_order_ts')}",
}


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
    """One way to group customers: a measure and its segments, from 0 upwards without a gap.

    choose: how a segment's amount is found; one of CHOOSE.
    """

    name: str
    measure: str
    segments: tuple[Segment, ...]
    choose: str = "most_used"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.name):
            raise SegmentError(f"kind {self.name!r} is not lower-case words joined by _; e.g. frequent_segment")
        if self.measure not in MEASURES:
            raise SegmentError(f"kind {self.name}: measure {self.measure!r} is not one of {', '.join(MEASURES)}")
        if self.choose not in CHOOSE:
            raise SegmentError(f"kind {self.name}: choose {self.choose!r} is not one of {', '.join(CHOOSE)}")
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
    """The segment kinds in file order, and which customers get an amount by lottery."""

    kinds: tuple[Kind, ...]
    lottery: Lottery = Lottery()
    holdout: Holdout = Holdout()

    def __post_init__(self) -> None:
        if fault := self.lottery.fault(self.holdout):
            raise SegmentError(fault)

    @classmethod
    def load(cls, path: Path = SEGMENTS_FILE) -> "SegmentBook":
        """Read and check a segments file. Raises SegmentError with the file, the kind and what is wrong with it."""
        try:
            file = tomlfile.read(path, _File)
            return cls(file.kind, file.lottery, file.holdout)
        except PipelineError as error:
            raise SegmentError(f"{path}: {error}") from None

    @property
    def hash(self) -> str:
        """A hash that changes if rows fall into other segments, or amounts are found or drawn in another way."""
        sql = [self.tally(), self.defined(), OUTCOMES, PLACED, UNPLACED, VOTES, MOST_USED, INTERVALS]
        sql += [TRIED, EFFECTS, POLICIES, ANSWERS, DRAWS, repr(self.lottery), repr(self.holdout)]
        return sha256("\n".join(sql).encode()).hexdigest()[:16]

    def tally(self, outcomes: bool = True) -> str:
        """Return a SELECT over the table `judged` (see RuleBook.sql): how many `rows` had each distinct outcome.

        The outcome of a kept row is its country, its amount, its segment of each kind and the number of its UTC day,
        `sent`; the first and last `timestamp` are added, and with `outcomes` the `cluster` of rows whose outcome is
        known, and OUTCOME_SUMS. The outcome of a dropped row is its country and what it `matched`; an example is added:
        the first in order, as it was read, and the texts of the first unreadable one.
        """
        known = ["CASE WHEN redeemed IS NOT NULL THEN cluster END AS cluster"] if outcomes else []
        known += [f"CAST({value} AS {TYPES[name]}) AS {name}" for name, value in OUTCOME_SUMS.items() if outcomes]
        row = f"struct_pack({', '.join(f'{column} := {column}' for column in COLUMNS)})"
        return f"""WITH dropped AS (
  SELECT country_code, matched, count(*) AS rows, min({row}) AS dropped_row, min(unreadable_row) AS unreadable_row
  FROM judged WHERE matched <> 0 GROUP BY ALL
), kept AS (
  SELECT country_code, matched, voucher_amount, {", ".join(kind.placed() for kind in self.kinds)},
    CAST({utc_day("timestamp")} AS INTEGER) AS sent,
    {", ".join(["count(*) AS rows, min(timestamp) AS data_from, max(timestamp) AS data_to", *known])}
  FROM judged WHERE matched = 0 GROUP BY ALL
)
FROM dropped UNION ALL BY NAME FROM kept"""

    def defined(self) -> str:
        """Return a SELECT of the segments: names, position, measure, bounds, and how the kind chooses."""
        rows = ",\n    ".join(
            f"({_text(kind.name)}, {_text(segment.label)}, {position}, {_text(kind.measure)}, {segment.lower}, "
            f"{'NULL' if segment.upper is None else segment.upper}, '{kind.choose}')"
            for kind in self.kinds
            for position, segment in enumerate(kind.segments)
        )
        return f"""SELECT * FROM (VALUES
    {rows}) AS defined(segment_name, segment, position, measure, lower_bound, upper_bound, choose)"""


class _File(tomlfile.Checked):
    kind: tuple[Kind, ...] = Field(min_length=1)
    lottery: Lottery = Lottery()
    holdout: Holdout = Holdout()


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
