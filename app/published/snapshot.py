"""The published run in memory, which all answers are read from. Created by `refresher`."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from http import HTTPStatus
from string import punctuation
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from app.errors import BadValue, BadValuesError, CustomerError, echo
from shared.countries import country_key


class UnknownKindError(BadValuesError):
    """The run has no segments of this segment kind."""

    def __init__(self, segment_name: str, known: Iterable[str]) -> None:
        super().__init__(BadValue("segment_name", f"must be one of {', '.join(known)}", (segment_name,)))


class UnknownCountryError(CustomerError):
    """The run has no answer for this country. `known` lists the countries it has answers for, most rows first."""

    status = HTTPStatus.NOT_FOUND
    type = "unknown-country"
    title = "Unknown country"

    def __init__(self, country_code: str, known: Iterable[str]) -> None:
        detail = f"Unknown country_code {echo(country_code)!r}. Known values are listed in `known` and at /segments."
        super().__init__(detail, known=list(known))
        self.country_code = country_code


class NoSegmentError(CustomerError):
    """The published segments do not cover the customer: an error in the run, not in the request."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    type = "no-segment"
    title = "No segment for this customer"

    def __init__(self, reason: str) -> None:
        detail = "The published segments do not cover this customer. The log has the details."
        super().__init__(detail, reason=reason)


@dataclass(frozen=True)
class Segment:
    """A row of voucher.segment. Fields are named after its columns."""

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
    sends: int | None = None  # None in runs of earlier versions
    share_low: float | None = None
    share_high: float | None = None
    clear: bool | None = None

    @cached_property
    def amount(self) -> int | float:
        return json_number(self.voucher_amount)

    @cached_property
    def answer(self) -> bytes:
        """The JSON body of most responses, cached because it never changes."""
        return json.dumps({"voucher_amount": self.amount}, separators=(",", ":")).encode()

    @cached_property
    def label(self) -> str:
        """The segment kind and label, such as `frequent_segment 10-29`, quoted for an HTTP header."""
        return quote(f"{self.segment_name} {self.segment}", safe=f" {punctuation.replace('%', '')}")

    @property
    def share(self) -> float | None:
        """The share of the segment's rows with this amount, to four digits; None if it has no rows."""
        return round(self.uses / self.rows, 4) if self.rows else None

    @property
    def points(self) -> float | None:
        """Half the width of the share's interval, in percentage points; None below 10 sends."""
        if self.share is None or self.share_low is None or self.share_high is None:
            return None
        return 100 * max(self.share - self.share_low, self.share_high - self.share)

    def holds(self, measured: int) -> bool:
        """Return whether the value is within the bounds. Both are inclusive; None is no upper bound."""
        return self.lower_bound <= measured and (self.upper_bound is None or measured <= self.upper_bound)


_Kind = tuple[list[int], list[Segment]]  # the lower bounds of its segments, and the segments in the same order


@dataclass(frozen=True)
class Snapshot:
    """A published run. It is immutable: a new run gets a new snapshot."""

    run_id: str
    today: date | None  # the day pinned by TODAY, if it was set
    published_at: datetime
    checked_at: datetime
    data_to: datetime | None  # the last timestamp of the kept rows; None if no row was kept
    source: str  # as stored; call `redact` before it is displayed
    sample: bool  # whether the history is the built-in synthetic sample
    segments: tuple[Segment, ...]
    measures: Mapping[str, str] = field(init=False)  # by segment_name
    countries: tuple[str, ...] = field(init=False)  # as stored, most rows first
    _found: dict[tuple[str, str], _Kind] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows: Counter[str] = Counter()
        for row in self.segments:
            rows[row.country_code] += row.rows
        # Runs of earlier versions may have several spellings of a country. The one with most rows is used.
        spellings: dict[str, str] = {}
        for country in sorted(rows, key=lambda country: (-rows[country], country)):
            spellings.setdefault(country_key(country), country)
        keys = {country: key for key, country in spellings.items()}
        found: dict[tuple[str, str], _Kind] = {}
        for row in sorted(self.segments, key=lambda row: row.lower_bound):
            if (key := keys.get(row.country_code)) is not None:
                starts, segments = found.setdefault((key, row.segment_name), ([], []))
                starts.append(row.lower_bound)
                segments.append(row)
        measures = {row.segment_name: row.measure for row in self.segments}
        object.__setattr__(self, "measures", MappingProxyType(dict(sorted(measures.items()))))
        object.__setattr__(self, "countries", tuple(keys))
        object.__setattr__(self, "_found", found)

    @property
    def reference_day(self) -> date:
        """The day that recency counts to: the run's pinned day, otherwise the current UTC day."""
        return self.today or datetime.now(UTC).date()

    def measure(self, segment_name: str) -> str:
        """Return the measure of a segment kind. Raises UnknownKindError."""
        try:
            return self.measures[segment_name]
        except KeyError:
            raise UnknownKindError(segment_name, self.measures) from None

    def find(self, country_code: str, segment_name: str, measured: int) -> Segment:
        """Return the segment for a customer.

        Raises UnknownCountryError, or NoSegmentError if no segment holds the value.
        """
        kind = self._found.get((country_key(country_code), segment_name))
        if kind is None:
            raise UnknownCountryError(country_code, self.countries)
        starts, segments = kind
        row = segments[bisect_right(starts, measured) - 1]  # the last one that starts at or below the value
        if not row.holds(measured):
            raise NoSegmentError(
                f"run {self.run_id}: no {segment_name} of {row.country_code} holds {row.measure} {measured}"
            )
        return row

    def data_age_days(self, now: datetime) -> float | None:
        """Return the days from the last timestamp of the history until `now`; None if no row was kept."""
        return None if self.data_to is None else round((now - self.data_to) / timedelta(days=1), 1)


def json_number(amount: Decimal) -> int | float:
    """Return an amount as a JSON number: 2640 or 2640.5."""
    whole = int(amount)
    return whole if whole == amount else float(amount)
