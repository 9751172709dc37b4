"""The published run as values in memory: what every answer is read from. Filled by `published`, asked by `voucher`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Literal


class NothingPublishedError(LookupError):
    """No run is published, or none could be read since the start."""


class UnknownKindError(LookupError):
    def __init__(self, segment_name: str, known: Iterable[str]) -> None:
        self.segment_name, self.known = segment_name, tuple(known)
        super().__init__(segment_name)


class UnknownCountryError(LookupError):
    def __init__(self, country_code: str, known: Iterable[str]) -> None:
        self.country_code, self.known = country_code, tuple(known)
        super().__init__(country_code)


class NoSegmentError(LookupError):
    """The published segments do not cover the customer: no fault of the request."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of voucher.segment; fields bear the names of its columns."""

    country_code: str
    segment_name: str
    segment: str
    position: int
    measure: str
    lower_bound: int
    upper_bound: int | None
    voucher_amount: Decimal
    uses: int
    rows: int
    runner_up_amount: Decimal | None
    runner_up_uses: int | None
    basis: Literal["segment", "country"]
    tied: bool

    @property
    def amount(self) -> int | float:
        return number(self.voucher_amount)

    def holds(self, measured: int) -> bool:
        """Whether it lies in the bounds, which are inclusive; None is open."""
        return self.lower_bound <= measured and (self.upper_bound is None or measured <= self.upper_bound)


@dataclass(frozen=True)
class Snapshot:
    """One published run. Never changed: a new run is a new snapshot."""

    run_id: str
    today: date | None  # the day TODAY pinned, for requests too
    published_at: datetime
    checked_at: datetime
    data_to: datetime | None  # the last timestamp of the rows kept; None when none was
    segments: tuple[Segment, ...]
    measures: Mapping[str, str] = field(init=False)  # of each kind, by segment_name
    countries: tuple[str, ...] = field(init=False)  # as stored, most rows first
    _found: Mapping[tuple[str, str], tuple[Segment, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[tuple[str, str], tuple[Segment, ...]] = {}
        rows: Counter[str] = Counter()
        for row in sorted(self.segments, key=lambda row: (row.segment_name, row.position)):
            key = (same(row.country_code), row.segment_name)
            found[key] = (*found.get(key, ()), row)
            rows[row.country_code] += row.rows
        measures = {row.segment_name: row.measure for row in self.segments}
        object.__setattr__(self, "measures", MappingProxyType(dict(sorted(measures.items()))))
        object.__setattr__(self, "countries", tuple(sorted(rows, key=lambda country: (-rows[country], country))))
        object.__setattr__(self, "_found", MappingProxyType(found))

    @property
    def reference_day(self) -> date:
        """The day up to which recency is counted: the one the run was pinned to, else the current UTC day."""
        return self.today or datetime.now(UTC).date()

    def measure(self, segment_name: str) -> str:
        """What the kind measures. Raises UnknownKindError."""
        try:
            return self.measures[segment_name]
        except KeyError:
            raise UnknownKindError(segment_name, self.measures) from None

    def find(self, country_code: str, segment_name: str, measured: int) -> Segment:
        """The segment of a customer. Raises UnknownCountryError, or NoSegmentError where the bounds leave a gap."""
        rows = self._found.get((same(country_code), segment_name))
        if rows is None:
            raise UnknownCountryError(country_code, self.countries)
        for row in rows:
            if row.holds(measured):
                return row
        raise NoSegmentError(
            f"run {self.run_id}: no {segment_name} of {rows[0].country_code} holds {rows[0].measure} {measured}"
        )


def same(country_code: str) -> str:
    """Equal for spellings of one country that differ in case or outer white space."""
    return country_code.strip().casefold()


def number(amount: Decimal) -> int | float:
    """An amount as JSON shows it: 2640, or 2640.5."""
    whole = int(amount)
    return whole if whole == amount else float(amount)
