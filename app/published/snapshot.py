"""A run in memory, which all answers are read from: the published one, or any on record. Created by `refresher`."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Literal

from app.errors import BadValue, BadValuesError, CustomerError
from app.places import territories
from app.places.countries import Countries, UnknownCountryError
from app.places.territories import Currency
from app.published.effects import Effect, Policy
from app.published.lottery import Choice, Draw, Lottery
from app.published.segment import Kind, Segment, SingleAmount
from shared.countries import country_key


class UnknownKindError(BadValuesError):
    """The run has no segments of this segment kind."""

    def __init__(self, segment_name: str, known: Iterable[str]) -> None:
        super().__init__(BadValue("segment_name", f"must be one of {', '.join(known)}", (segment_name,)))


class NoSegmentError(CustomerError):
    """The published segments do not cover the customer: an error in the run, not in the request."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    type = "no-segment"
    title = "No segment for this customer"

    def __init__(self, reason: str) -> None:
        detail = "The published segments do not cover this customer. The log has the details."
        super().__init__(detail, reason=reason)


# What a run is: the live one, live before, rolled back from, failed its audits, or loaded and never live.
RunStatus = Literal["current", "published", "withdrawn", "rejected", "planned"]

_Key = tuple[str, str, str]  # country_code, segment_name and segment, as stored
_Segments = tuple[list[int], list[Segment]]  # the lower bounds of its segments, and the segments in the same order


@dataclass(frozen=True)
class Snapshot:
    """A run, usually the published one. It is immutable: a new run gets a new snapshot."""

    run_id: str
    today: date | None  # the day pinned by TODAY, if it was set
    published_at: datetime | None  # the last time; None if it never was
    checked_at: datetime
    data_to: datetime | None  # the last timestamp of the kept rows; None if no row was kept
    source: str  # as stored; call `redact` before it is displayed
    status: RunStatus
    sample: bool  # whether the history is the built-in synthetic sample
    kinds: tuple[Kind, ...]  # in the order of their positions
    segments: tuple[Segment, ...]
    effects: tuple[Effect, ...] = ()
    policies: tuple[Policy, ...] = ()
    draws: tuple[Draw, ...] = ()
    single_amounts: tuple[SingleAmount, ...] = ()
    own_currency: str = ""  # the setting VOUCHER_CURRENCY
    countries: tuple[str, ...] = field(init=False)  # as stored, most rows first
    _countries: Countries = field(init=False, repr=False)
    _kinds: dict[str, Kind] = field(init=False, repr=False)  # by segment_name
    _found: dict[tuple[str, str], _Segments] = field(init=False, repr=False)
    _lotteries: dict[_Key, Lottery] = field(init=False, repr=False)
    _effects: dict[_Key, dict[Decimal, Effect]] = field(init=False, repr=False)
    _single_amounts: dict[tuple[str, str], SingleAmount] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows: Counter[str] = Counter()
        for row in self.segments:
            rows[row.country_code] += row.rows
        # Runs of earlier versions may have several spellings of a country. The one with most rows is used.
        countries = Countries(sorted(rows, key=lambda country: (-rows[country], country)))
        keys = {country: country_key(country) for country in countries.names}
        found: dict[tuple[str, str], _Segments] = {}
        for row in sorted(self.segments, key=lambda row: row.lower_bound):
            if (key := keys.get(row.country_code)) is not None:
                starts, segments = found.setdefault((key, row.segment_name), ([], []))
                starts.append(row.lower_bound)
                segments.append(row)
        object.__setattr__(self, "_kinds", {kind.segment_name: kind for kind in self.kinds})
        object.__setattr__(self, "countries", countries.names)
        object.__setattr__(self, "_countries", countries)
        object.__setattr__(self, "_found", found)
        effects: dict[_Key, dict[Decimal, Effect]] = {}
        for effect in self.effects:
            effects.setdefault(_key(effect), {})[effect.voucher_amount] = effect
        object.__setattr__(self, "_effects", effects)
        single = {(each.country_code, each.segment_name): each for each in self.single_amounts}
        object.__setattr__(self, "_single_amounts", single)
        object.__setattr__(self, "_lotteries", _lotteries(self.draws))

    @property
    def reference_day(self) -> date:
        """The day that recency counts to: the run's pinned day, otherwise the current UTC day."""
        return self.today or datetime.now(UTC).date()

    def kind(self, segment_name: str) -> Kind:
        """Return a segment kind by its name. Raises UnknownKindError."""
        try:
            return self._kinds[segment_name]
        except KeyError:
            raise UnknownKindError(segment_name, self._kinds) from None

    def country(self, given: str) -> str:
        """Return a country as stored, for any spelling, ISO code or name of it.

        Raises UnknownCountryError or AmbiguousCountryError.
        """
        return self._countries.find(given)

    def currency(self, country: str) -> Currency | None:
        """Return the currency of a country's amounts, when its history ended; None if it is unknown."""
        if self.own_currency:
            return Currency(self.own_currency, "setting")
        day = (self.data_to or self.checked_at).date()
        return territories.currency(territories.territory(country), day)

    def find(self, country_code: str, segment_name: str, measured: int) -> Segment:
        """Return the segment for a customer.

        Raises UnknownCountryError, AmbiguousCountryError, or NoSegmentError if no segment holds the value.
        """
        kind = self._found.get((country_key(country_code), segment_name))
        if kind is None:
            kind = self._found.get((country_key(self.country(country_code)), segment_name))
        if kind is None:
            raise UnknownCountryError(country_code, self.countries)
        starts, segments = kind
        row = segments[bisect_right(starts, measured) - 1]  # the last one that starts at or below the value
        if not row.holds(measured):
            raise NoSegmentError(
                f"run {self.run_id}: no {segment_name} of {row.country_code} holds {row.measure} {measured}"
            )
        return row

    def choose(self, row: Segment, customer_id: str | None) -> Choice:
        """Return the choice for a customer of this segment. One without an id draws nothing."""
        lottery = self._lotteries.get(_key(row))
        return row.choice if lottery is None or customer_id is None else lottery.draw(customer_id)

    def effect(self, row: Segment, amount: Decimal) -> Effect | None:
        """Return what the amount did in this segment; None if no outcome is known."""
        return self._effects.get(_key(row), {}).get(amount)

    def single_amount(self, country_code: str, segment_name: str) -> SingleAmount | None:
        """Return the one amount that matches most votes of a country, spelled as stored; None if it has no votes."""
        return self._single_amounts.get((country_code, segment_name))

    def lottery(self, row: Segment) -> Lottery | None:
        """Return the lottery of this segment, if there is one."""
        return self._lotteries.get(_key(row))

    def data_age_days(self, now: datetime) -> float | None:
        """Return the days from the last timestamp of the history until `now`; None if no row was kept."""
        return None if self.data_to is None else round((now - self.data_to) / timedelta(days=1), 1)


def _key(row: Segment | Effect | Draw) -> _Key:
    return row.country_code, row.segment_name, row.segment


def _lotteries(draws: Iterable[Draw]) -> dict[_Key, Lottery]:
    """Return the lottery of each segment. Segments with the same stretches share one, because there may be many."""
    rows: dict[_Key, list[Draw]] = {}
    for draw in draws:
        rows.setdefault(_key(draw), []).append(draw)
    shared: dict[object, Lottery] = {}
    found = {}
    for key, of_segment in rows.items():
        alike = frozenset((draw.position, draw.voucher_amount, draw.tickets) for draw in of_segment)
        found[key] = shared.setdefault(alike, Lottery(of_segment))
    return found
