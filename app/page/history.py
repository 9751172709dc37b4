"""What the page shows from Postgres: dropped rows, publications, and the comparison of two runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from app.published import models
from app.published.reader import reader
from app.published.results import SEGMENTS
from app.published.segment import Segment
from app.published.snapshot import Snapshot
from app.reports import rules
from app.voucher.parameters import RUN_ID
from shared import definitions, differences
from shared.addresses import redact
from shared.countries import country_key

LATEST = 20  # publications; /runs lists all runs

PUBLICATIONS = (
    select(models.Publication, models.Run.rows_kept, models.Run.data_to)
    .join(models.Run, models.Run.run_id == models.Publication.run_id)
    .order_by(models.Publication.at.desc())
    .limit(LATEST)
)

# What `compare` reads of a run, and the column that names the run.
OF_RUN = (
    (SEGMENTS, models.Segment.run_id),
    (select(models.Kind.__table__).order_by(models.Kind.position), models.Kind.run_id),
    (select(models.Rule.__table__).order_by(models.Rule.position), models.Rule.run_id),
    (select(models.Run.source, models.Run.rows_in, models.Run.rows_kept), models.Run.run_id),
)


@dataclass(frozen=True)
class Step:
    """A rule in a funnel. `left` is the number of rows that neither it nor an earlier rule dropped."""

    matched: int
    dropped: int
    left: int


@dataclass(frozen=True)
class Funnel:
    """How many rows of a country, or of all countries, each rule dropped."""

    rows_in: int
    steps: Sequence[Step]
    kept: int


@dataclass(frozen=True)
class Dropped:
    """The analyst's rules and the built-in rules that matched a row. Both funnels have a step for each."""

    rules: Sequence[rules.Rule]
    unmatched: int  # number of built-in rules that matched no row
    country: Funnel
    everywhere: Funnel


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
    """How two runs differ: source, row counts, rules and segments in words, and the answers."""

    words: Sequence[str]
    answers: Sequence[Change]


def publications() -> Sequence[Row[Any]]:
    """Return the latest publications, newest first. Raises DatabaseUnavailableError."""
    return reader("tables").read(PUBLICATIONS)[0]


def dropped(run: Snapshot, country_code: str) -> Dropped:
    """Return the rows that each rule dropped, in a country and everywhere. Raises DatabaseUnavailableError."""
    found = rules.load_rules(run.run_id)
    listed = [rule for rule in found.rules if rule.drop_when or rule.matched]
    kind = run.kinds[0].segment_name  # any kind: each kept row is in one of its segments, or unplaced
    of_kind = {"run_id": run.run_id, "country_code": country_code, "segment_name": kind}
    [unplaced] = reader("tables").read(select(models.Unplaced.rows).filter_by(**of_kind))
    placed = (row.rows for row in run.segments if (row.country_code, row.segment_name) == (country_code, kind))
    kept = sum(placed) + sum(row.rows for row in unplaced)
    country = [[each for each in rule.countries if each.country_code == country_code] for rule in listed]
    everywhere = _funnel(found.rows_kept or 0, [rule.countries for rule in listed])
    return Dropped(listed, len(found.rules) - len(listed), _funnel(kept, country), everywhere)


def _funnel(kept: int, outcomes: Sequence[Sequence[rules.Outcome]]) -> Funnel:
    left = rows_in = kept + sum(each.dropped for rule in outcomes for each in rule)
    steps = []
    for rule in outcomes:
        dropped = sum(each.dropped for each in rule)
        left -= dropped
        steps.append(Step(sum(each.matched for each in rule), dropped, left))
    return Funnel(rows_in, steps, kept)


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


def _count(rows: int | None) -> str:
    return "an unknown number of" if rows is None else f"{rows:,}"


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
