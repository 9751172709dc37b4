"""What segments measure, and rules may compare: whole-number columns, and the days since one of the order times.

Declared by the types of the columns alone. A request needs the field that its kind's measure is computed from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.rules.columns import COLUMNS, READERS, TIME
from pipeline.rules.sql.tallies import utc_day

# The reference day of a row of history: the pinned day (a DuckDB variable), or else the row's own UTC day.
TODAY = "CAST(getvariable('today') AS DATE)"
REFERENCE_DAY = f"coalesce({utc_day(TODAY)}, {utc_day('timestamp')})"


@dataclass(frozen=True)
class Measure:
    """A whole number of a row. field: the column, and the field of a request. unit: plural. sql: over typed columns."""

    name: str
    field: str
    unit: str
    sql: str


def _number(column: str) -> Measure:
    return Measure(column, column, column.rpartition("_")[2], column)


def _days_since(column: str) -> Measure:
    name = f"days_since_{column.removesuffix('_ts')}"
    return Measure(name, column, "days", f"{REFERENCE_DAY} - {utc_day(column)}")


NUMBERS = [_number(column) for column in COLUMNS if READERS.get(column, ("", ""))[1] == "INTEGER"]
DAYS = [_days_since(column) for column in COLUMNS if READERS.get(column) == TIME and column != "timestamp"]
MEASURES: Mapping[str, Measure] = MappingProxyType({measure.name: measure for measure in [*NUMBERS, *reversed(DAYS)]})
