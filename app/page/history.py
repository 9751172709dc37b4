"""What the page tells from Postgres: what was dropped, the publications, and two runs compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from app.published import models
from app.published.reader import reader
from app.published.refresher import SEGMENTS
from app.published.snapshot import Segment, Snapshot
from app.reports import rules
from app.reports.parameters import RUN_ID
from shared.countries import country_key

MOST = 20  # publications; /runs has all

PUBLICATIONS = (
    select(models.Publication, models.Run.rows_kept, models.Run.data_to)
    .join(models.Run, models.Run.run_id == models.Publication.run_id)
    .order_by(models.Publication.at.desc())
    .limit(MOST)
)


@dataclass(frozen=True)
class Step:
    """A rule in a funnel; `left` are the rows that neither it nor an earlier one dropped."""

    matched: int
    dropped: int
    left: int


@dataclass(frozen=True)
class Funnel:
    """The way of a country's rows, or of all, through the rules."""

    rows_in: int
    steps: Sequence[Step]
    kept: int


@dataclass(frozen=True)
class Dropped:
    """The analyst's rules and the built-in reasons that met a row, with a step for each in both funnels."""

    rules: Sequence[rules.Rule]
    idle: int  # built-in reasons that met no row
    country: Funnel
    everywhere: Funnel


@dataclass(frozen=True)
class Change:
    """An answer that two runs give differently: `row` is the newer there is; None where a run has none."""

    row: Segment
    old: Segment | None
    new: Segment | None


def publications() -> Sequence[Row[Any]]:
    """Newest first. Raises DatabaseAwayError."""
    return reader("tables").read(PUBLICATIONS)[0]


def dropped(run: Snapshot, country_code: str) -> Dropped:
    """Raises DatabaseAwayError."""
    found = rules.of(run.run_id)
    shown = [rule for rule in found.rules if rule.drop_when or rule.matched]
    kind = next(iter(run.measures))  # whichever: a kept row falls in a segment of each, or in none
    place = {"run_id": run.run_id, "country_code": country_code, "segment_name": kind}
    [elsewhere] = reader("tables").read(select(models.Unplaced.rows).filter_by(**place))
    placed = (row.rows for row in run.segments if (row.country_code, row.segment_name) == (country_code, kind))
    kept = sum(placed) + sum(row.rows for row in elsewhere)
    here = [[met for met in rule.countries if met.country_code == country_code] for rule in shown]
    everywhere = _funnel(found.rows_kept or 0, [rule.countries for rule in shown])
    return Dropped(shown, len(found.rules) - len(shown), _funnel(kept, here), everywhere)


def _funnel(kept: int, met: Sequence[Sequence[rules.Outcome]]) -> Funnel:
    left = rows_in = kept + sum(one.dropped for rule in met for one in rule)
    steps = []
    for rule in met:
        dropped = sum(one.dropped for one in rule)
        left -= dropped
        steps.append(Step(sum(one.matched for one in rule), dropped, left))
    return Funnel(rows_in, steps, kept)


def compare(old: str, new: str) -> list[Change] | None:
    """The answers that changed; None where one of the runs has no answers on record. Raises DatabaseAwayError."""
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
    """Equal for the same answer of two runs, which may spell its country differently."""
    return country_key(row.country_code), row.segment_name, row.segment
