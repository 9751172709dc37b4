"""The tables that the app reads, with the columns it uses. The pipeline's migrations create them."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(schema="voucher")


db = SQLAlchemy(model_class=Base)

if TYPE_CHECKING:
    Model = Base  # mypy does not accept an attribute as a base class
else:
    Model = db.Model


SCHEMA_VERSIONS = frozenset({"0007", "0008"})  # migrations whose tables match these models


class SchemaVersion(Model):
    """The single row that names the latest migration."""

    __tablename__ = "alembic_version"

    version_num: Mapped[str] = mapped_column(primary_key=True)


class Run(Model):
    __tablename__ = "run"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    rules_hash: Mapped[str]
    segments_hash: Mapped[str]
    today: Mapped[date | None]
    rows_in: Mapped[int | None]
    rows_kept: Mapped[int | None]
    data_from: Mapped[datetime | None]
    data_to: Mapped[datetime | None]
    started_at: Mapped[datetime]
    planned_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    status: Mapped[str]
    rows_uri: Mapped[str | None]


class CurrentRun(Model):
    """The single row that names the published run."""

    __tablename__ = "current_run"

    one_row: Mapped[bool] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id))
    published_at: Mapped[datetime]
    checked_at: Mapped[datetime]


class Segment(Model):
    """An answer: the voucher amount for customers of a country whose measure is within the bounds, both inclusive."""

    __tablename__ = "segment"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    country_code: Mapped[str] = mapped_column(primary_key=True)
    segment_name: Mapped[str] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    measure: Mapped[str]
    lower_bound: Mapped[int]
    upper_bound: Mapped[int | None]
    voucher_amount: Mapped[Decimal]
    uses: Mapped[int]
    rows: Mapped[int]
    runner_up_amount: Mapped[Decimal | None]
    runner_up_uses: Mapped[int | None]
    basis: Mapped[str]
    tied: Mapped[bool]
    sends: Mapped[int | None]
    share_low: Mapped[float | None]
    share_high: Mapped[float | None]
    clear: Mapped[bool | None]


class SegmentVote(Model):
    """How many of a segment's rows have an amount. `Segment` has the most used one."""

    __tablename__ = "segment_vote"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    country_code: Mapped[str] = mapped_column(primary_key=True)
    segment_name: Mapped[str] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True)
    voucher_amount: Mapped[Decimal] = mapped_column(primary_key=True)
    uses: Mapped[int]


class Kind(Model):
    """A segment kind of a run. `segment_titles` has names for people, by the label of the segment."""

    __tablename__ = "kind"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    segment_name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    measure: Mapped[str]
    field: Mapped[str]
    unit: Mapped[str]
    title: Mapped[str]
    because: Mapped[str]
    choose: Mapped[str]
    segment_titles: Mapped[dict[str, str]] = mapped_column(JSONB)


class Part(Model):
    """A file of the source, as a run read it."""

    __tablename__ = "part"

    part_id: Mapped[int] = mapped_column(primary_key=True)
    uri: Mapped[str]
    etag: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    synthetic: Mapped[bool]


class RunPart(Model):
    __tablename__ = "run_part"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    part_id: Mapped[int] = mapped_column(ForeignKey(Part.part_id), primary_key=True)


class Rule(Model):
    __tablename__ = "rule"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    drop_when: Mapped[str | None]
    because: Mapped[str]
    share_low: Mapped[float]
    share_high: Mapped[float]


class RuleOutcome(Model):
    __tablename__ = "rule_outcome"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    country_code: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(primary_key=True)
    matched: Mapped[int]
    dropped: Mapped[int]
    example: Mapped[str | None]


class Unplaced(Model):
    """The number of a country's kept rows that are in no segment of a kind. They still count for the country."""

    __tablename__ = "unplaced"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    country_code: Mapped[str] = mapped_column(primary_key=True)
    segment_name: Mapped[str] = mapped_column(primary_key=True)
    rows: Mapped[int]


class AuditOutcome(Model):
    __tablename__ = "audit_outcome"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    audit: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[str]
    passed: Mapped[bool]
    expected: Mapped[str]
    seen: Mapped[str]
    compared_with: Mapped[str | None]


class Publication(Model):
    """A change of the published run."""

    __tablename__ = "publication"

    at: Mapped[datetime] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id))
    previous_run_id: Mapped[str | None]
    action: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str | None]
