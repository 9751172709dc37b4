"""The amounts of all countries and segments, from memory: a table for each kind."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.places.territories import Currency
from app.published.segment import Kind, Segment
from app.published.snapshot import Snapshot
from shared.countries import country_key, is_blank

MOST = 40  # countries that are shown before all are asked for, besides the selected one


@dataclass(frozen=True)
class CountryRow:
    """A country's segments of a kind, one for each column; None if it has no such segment."""

    country: str
    currency: Currency | None
    cells: Sequence[Segment | None]


@dataclass(frozen=True)
class KindTable:
    """A kind, the segments that are its columns, and a row for each country."""

    kind: Kind
    columns: Sequence[Segment]
    rows: Sequence[CountryRow]


@dataclass(frozen=True)
class Overview:
    """The tables of all kinds. `total` is the number of countries, of which `shown` have a row."""

    tables: Sequence[KindTable]
    shown: int
    total: int


def selected(run: Snapshot, given: str) -> str:
    """Return the name of a country as stored; if none is given, the one with most rows.

    Raises the errors of `Snapshot.country`.
    """
    return run.countries[0] if is_blank(given) else run.country(given)


def by_name(countries: Sequence[str]) -> list[str]:
    """Return the names in the order in which people look for them, regardless of case."""
    return sorted(countries, key=lambda name: (country_key(name), name))


def overview(run: Snapshot, country: str, everything: bool) -> Overview:
    """Return the tables with every country, or with `country` and the MOST largest ones, by name."""
    names = by_name(run.countries if everything else list(dict.fromkeys([country, *run.countries[:MOST]])))
    found: dict[tuple[str, str], dict[str, Segment]] = {}
    columns: dict[str, dict[str, Segment]] = {}
    for row in sorted(run.segments, key=lambda row: row.position):
        found.setdefault((row.country_code, row.segment_name), {})[row.segment] = row
        columns.setdefault(row.segment_name, {}).setdefault(row.segment, row)
    tables = []
    for kind in run.kinds:
        labels = columns.get(kind.segment_name, {})
        rows = []
        for name in names:
            cells = found.get((name, kind.segment_name), {})
            rows.append(CountryRow(name, run.currency(name), [cells.get(label) for label in labels]))
        tables.append(KindTable(kind, [*labels.values()], rows))
    return Overview(tables, len(names), len(run.countries))
