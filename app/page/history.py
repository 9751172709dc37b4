"""What the page shows from Postgres: dropped rows, publications, and the comparison of two runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from app.published import models
from app.published.reader import reader
from app.published.refresher import SEGMENTS
from app.published.segment import Segment
from app.published.snapshot import Snapshot
from app.reports import rules
from app.voucher.parameters import RUN_ID
from shared.countries import country_key

LATEST = 20  # publications; /runs lists all runs

PUBLICATIONS = (
    select(models.Publication, models.Run.rows_kept, models.Run.data_to)
    .join(models.Run, models.Run.run_id == models.Publication.run_id)
    .order_by(models.Publication.at.desc())
    .limit(LATEST)
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
    """An answer that differs between two runs.

    `row` is the newer one. `old` or `new` is None if that run does not have the segment.
    """

    row: Segment
    old: Segment | None
    new: Segment | None


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


def compare(old: str, new: str) -> list[Change] | None:
    """Return the changed answers; None if a run has no answers in the database. Raises DatabaseUnavailableError."""
    if not (RUN_ID.fullmatch(old) and RUN_ID.fullmatch(new)):
        return None
    found = reader("tables").read(*(SEGMENTS.where(models.Segment.run_id == run_id) for run_id in (old, new)))
    before, after = ({_key(row): row for row in (Segment(**each._asdict()) for each in rows)} for rows in found)
    if not (before and after):
        return None
    changes = [Change(row, before.get(key), after.get(key)) for key, row in (before | after).items()]
    return sorted(
        (one for one in changes if not (one.old and one.new and one.old.voucher_amount == one.new.voucher_amount)),
        key=lambda one: (one.row.segment_name, one.row.position),
    )


def _key(row: Segment) -> tuple[str, str, str]:
    """Return the key of an answer, which is the same in both runs even if they spell the country differently."""
    return country_key(row.country_code), row.segment_name, row.segment
