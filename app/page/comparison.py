"""How two runs differ, in words and in answers, from Postgres."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from sqlalchemy import Row, select

from app.page.filters import day
from app.published import models
from app.published.reader import UnknownRunError, reader
from app.published.results import SEGMENTS
from app.published.runs import full_id
from app.published.segment import Segment
from app.voucher.parameters import RUN_ID
from shared import definitions, differences
from shared.addresses import redact
from shared.countries import country_key

FACTS = ("source", "rows_in", "rows_kept", "data_from", "data_to", "today")  # of a run

# What `compare` reads of a run, and the column that names the run.
OF_RUN = (
    (SEGMENTS, models.Segment.run_id),
    (select(models.Kind.__table__).order_by(models.Kind.position), models.Kind.run_id),
    (select(models.Rule.__table__).order_by(models.Rule.position), models.Rule.run_id),
    (select(*(getattr(models.Run, name) for name in FACTS)), models.Run.run_id),
)


@dataclass(frozen=True)
class Change:
    """An answer that differs between two runs, for customers in one segment of both.

    `row` is the newer one. customers: the label of the segment, or the bounds of a part of it, which begins at `lower`.
    `old` or `new` is None if that run does not have the country or the kind.
    """

    row: Segment
    customers: str
    lower: int
    old: Segment | None
    new: Segment | None


@dataclass(frozen=True)
class Comparison:
    """How two runs differ: source, rows, dates, rules and segments in words, and the answers."""

    words: Sequence[str]
    answers: Sequence[Change]

    def of(self, country: str) -> list[Change]:
        """Return the changed answers of a country, however it is spelled."""
        return self._by_country.get(country_key(country), [])

    def others(self, country: str = "") -> list[tuple[str, list[Change]]]:
        """Return the changed answers of the other countries, by name; those of all without a country."""
        return [
            (changes[0].row.country_code, changes)
            for key, changes in sorted(self._by_country.items())
            if key != country_key(country)
        ]

    def before(self, row: Segment) -> list[Change]:
        """Return what changed for the customers of a segment of the newer run."""
        found = ((one, one.new) for one in self.of(row.country_code))
        key = row.segment_name, row.segment
        return [one for one, new in found if new and (new.segment_name, new.segment) == key]

    @cached_property
    def _by_country(self) -> dict[str, list[Change]]:
        found: dict[str, list[Change]] = {}
        for one in self.answers:
            found.setdefault(country_key(one.row.country_code), []).append(one)
        return found


def whole_id(given: str) -> str:
    """Return the id of the run that a link names, shortened or not; a text that names no run is returned unchanged.

    Raises AmbiguousRunError or DatabaseUnavailableError.
    """
    try:
        return full_id(reader("tables"), given) if RUN_ID.fullmatch(given) else given
    except UnknownRunError:
        return given


def compare(old: str, new: str) -> Comparison | None:
    """Return how two runs differ; None if one has no answers in the database. Raises DatabaseUnavailableError."""
    if not (RUN_ID.fullmatch(old) and RUN_ID.fullmatch(new)):
        return None
    found = reader("tables").read(*(statement.where(of == run) for run in (old, new) for statement, of in OF_RUN))
    before, after = ([Segment(**row._asdict()) for row in rows] for rows in (found[0], found[len(OF_RUN)]))
    if not (before and after):
        return None
    was, is_now = (_definitions(*found[start : start + len(OF_RUN)]) for start in (0, len(OF_RUN)))
    facts = _facts(*found[len(OF_RUN) - 1], *found[-1])
    answers = sorted(_answers(before, after), key=lambda one: (one.row.segment_name, one.lower))
    return Comparison([*facts, *differences.changes(was, is_now)], answers)


def _definitions(
    segments: Sequence[Row[Any]], kinds: Sequence[Row[Any]], found: Sequence[Row[Any]], _: Sequence[Row[Any]]
) -> tuple[list[definitions.Rule], list[definitions.Kind]]:
    bounds: dict[str, dict[tuple[int, str], definitions.Segment]] = {}
    for row in segments:
        segment = definitions.Segment(row.segment, row.lower_bound, row.upper_bound, row.title or "")
        bounds.setdefault(row.segment_name, {})[row.position, row.segment] = segment
    return (
        [definitions.Rule(row.name, row.drop_when, row.because, (row.share_low, row.share_high)) for row in found],
        [
            definitions.Kind(
                *(
                    kind.segment_name,
                    kind.measure,
                    tuple(each for _, each in sorted(bounds[kind.segment_name].items())),
                ),
                *(kind.choose, kind.title, kind.because),
            )
            for kind in kinds
            if kind.segment_name in bounds
        ],
    )


def _facts(old: Row[Any], new: Row[Any]) -> Iterator[str]:
    if old.source != new.source:
        yield f"the source is {redact(new.source)}; before, {redact(old.source)}"
    for name, was, is_now in (("read", old.rows_in, new.rows_in), ("kept", old.rows_kept, new.rows_kept)):
        if was != is_now:
            yield f"{_count(is_now)} rows were {name}; before, {_count(was)}"
    for name, was, is_now, missing in (
        ("the data begins on", old.data_from, new.data_from, "no day"),
        ("the data ends on", old.data_to, new.data_to, "no day"),
        ("days are counted to", old.today, new.today, "the current day"),
    ):
        if was != is_now:
            yield f"{name} {_day(is_now, missing)}; before, {_day(was, missing)}"


def _count(rows: int | None) -> str:
    return "an unknown number of" if rows is None else f"{rows:,}"


def _day(when: date | None, missing: str) -> str:
    return day(when) if when else missing


def _answers(old: Sequence[Segment], new: Sequence[Segment]) -> Iterator[Change]:
    """Yield the answers that differ, by the intervals that are within one segment of both runs."""
    before, after = _by_kind(old), _by_kind(new)
    for key in dict.fromkeys([*after, *before]):
        rows = before.get(key, {}), after.get(key, {})
        for each in definitions.intervals(*([_bounds(row) for row in side.values()] for side in rows)):
            one, other = rows[0][each.old.label] if each.old else None, rows[1][each.new.label] if each.new else None
            if not (one and other and one.voucher_amount == other.voucher_amount) and (row := other or one):
                yield Change(row, each.label, each.lower, one, other)


def _by_kind(answers: Sequence[Segment]) -> dict[tuple[str, str, str], dict[str, Segment]]:
    """Return the answers by their labels, for each country, however it is spelled, and each measure of a kind."""
    found: dict[tuple[str, str, str], dict[str, Segment]] = {}
    for row in sorted(answers, key=lambda row: row.position):
        found.setdefault((country_key(row.country_code), row.segment_name, row.measure), {})[row.segment] = row
    return found


def _bounds(row: Segment) -> definitions.Segment:
    return definitions.Segment(row.segment, row.lower_bound, row.upper_bound)
