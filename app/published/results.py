"""Read a run's answers and their evidence from Postgres. Used by `refresher` and `runs`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import ColumnClause, Connection, ScalarSelect, and_, column, func, select, table, text
from sqlalchemy.orm import InstrumentedAttribute

from app.published import models
from app.published.effects import Effect, Policy
from app.published.lottery import Draw
from app.published.models import SegmentVote
from app.published.segment import Kind, Segment, SingleAmount
from app.published.snapshot import Snapshot

R = TypeVar("R")

OF_SEGMENT = ("run_id", "country_code", "segment_name", "segment")
KINDS = select(*(getattr(models.Kind, each.name) for each in fields(Kind))).order_by(models.Kind.position)
NOT_IN_TABLE: dict[str, Any] = {
    "title": models.Kind.segment_titles[models.Segment.segment].astext,
    "kind_title": models.Kind.title,
    "unit": models.Kind.unit,
    "mean_amount": select(
        func.round(func.sum(SegmentVote.uses * SegmentVote.voucher_amount) / func.sum(SegmentVote.uses), 2)
    )
    .where(*(getattr(SegmentVote, name) == getattr(models.Segment, name) for name in OF_SEGMENT))
    .scalar_subquery(),
}
SEGMENTS = select(
    *(
        NOT_IN_TABLE[name].label(name) if name in NOT_IN_TABLE else getattr(models.Segment, name)
        for name in (each.name for each in fields(Segment))
    )
).join(
    models.Kind,
    and_(models.Kind.run_id == models.Segment.run_id, models.Kind.segment_name == models.Segment.segment_name),
)
# The most used amount of each country, counted over the segments of a kind. Of two amounts, the smaller wins, as in
# segments.
SINGLE_AMOUNTS = text("""
    SELECT DISTINCT ON (country_code, segment_name)
        country_code, segment_name, voucher_amount, uses,
        sum(uses) OVER (PARTITION BY country_code, segment_name)::bigint AS rows
    FROM (
        SELECT country_code, segment_name, voucher_amount, sum(uses)::bigint AS uses
        FROM voucher.segment_vote WHERE run_id = :run_id
        GROUP BY country_code, segment_name, voucher_amount
    ) AS vote
    ORDER BY country_code, segment_name, uses DESC, voucher_amount
""")


def is_sample(run_id: str | InstrumentedAttribute[str]) -> ScalarSelect[bool]:
    """Select whether every part of a run is the built-in synthetic sample; false for a run without parts."""
    parts = select(func.coalesce(func.bool_and(models.Part.synthetic), False)).join(models.RunPart)
    return parts.where(models.RunPart.run_id == run_id).scalar_subquery()


def read_snapshot(connection: Connection, about: Mapping[str, Any], currency: str = "") -> Snapshot:
    """Return a run's snapshot. `about` has the fields that come before `sample`, and `currency` is the setting."""
    run_id = about["run_id"]
    rows = connection.execute(SEGMENTS.where(models.Segment.run_id == run_id))
    single = connection.execute(SINGLE_AMOUNTS, {"run_id": run_id})
    return Snapshot(
        **about,
        sample=connection.execute(select(is_sample(run_id))).scalar_one(),
        kinds=tuple(Kind(*row) for row in connection.execute(KINDS.where(models.Kind.run_id == run_id))),
        segments=tuple(Segment(*row) for row in rows),
        effects=_rows(connection, "effect", Effect, run_id),
        policies=_rows(connection, "policy", Policy, run_id),
        draws=_rows(connection, "draw", Draw, run_id),
        single_amounts=tuple(SingleAmount(*row) for row in single),
        own_currency=currency,
    )


def _rows(connection: Connection, name: str, row: type[R], run_id: str) -> tuple[R, ...]:
    """Return a run's rows of a table of which all columns but the run's id are the fields of `row`."""
    columns: list[ColumnClause[Any]] = [column(each.name) for each in fields(row)]  # type: ignore[arg-type]
    found = select(*columns).select_from(table(name, schema="voucher")).where(column("run_id") == run_id)
    return tuple(row(*values) for values in connection.execute(found))
