"""The published tables that the app reads. The pipeline's migrations make them; this names the columns used here."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(schema="voucher")


db = SQLAlchemy(model_class=Base)

if TYPE_CHECKING:
    Model = Base  # mypy takes no attribute of a value for a base class
else:
    Model = db.Model


class Run(Model):
    __tablename__ = "run"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    today: Mapped[date | None]
    data_to: Mapped[datetime | None]


class CurrentRun(Model):
    """The one row that says which run is published."""

    __tablename__ = "current_run"

    one_row: Mapped[bool] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id))
    published_at: Mapped[datetime]
    checked_at: Mapped[datetime]


class Segment(Model):
    """One answer: the voucher of a country's customers whose measure lies in the bounds, both inclusive."""

    __tablename__ = "segment"

    run_id: Mapped[str] = mapped_column(ForeignKey(Run.run_id), primary_key=True)
    country_code: Mapped[str] = mapped_column(primary_key=True)
    segment_name: Mapped[str] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    measure: Mapped[str]
    lower_bound: Mapped[int | None]
    upper_bound: Mapped[int | None]
    voucher_amount: Mapped[Decimal]
    rows: Mapped[int]
