"""How many rows each cleaning rule dropped, in a country and everywhere, from Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from app.published import models
from app.published.reader import reader
from app.published.snapshot import Snapshot
from app.reports import rules


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
