"""Explain an answer: the evidence in a row of `/segments`, the body of `?explain=true`, and its sentence."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.published.snapshot import Segment, Snapshot, json_number

Amount = Annotated[
    int | float,
    BeforeValidator(lambda value: json_number(value) if isinstance(value, Decimal) else value),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Count = Annotated[int, Field(ge=0)]

# Singular and plural of each measure's unit.
UNITS = {"total_orders": ("order", "orders"), "days_since_last_order": ("day", "days")}


class Answer(BaseModel):
    """The amount used most for customers like this one."""

    voucher_amount: Amount


class Evidence(BaseModel):
    """The answer of a segment and its votes: a row of voucher.segment, fields named as its columns."""

    model_config = ConfigDict(from_attributes=True)

    country_code: str = Field(description="As stored.")
    segment_name: str
    segment: str
    position: int = Field(description="Of the segment in its kind, from 0.")
    measure: str = Field(description="What is counted: `total_orders` or `days_since_last_order`.")
    lower_bound: int = Field(description="Inclusive.")
    upper_bound: int | None = Field(description="Inclusive; null where the segment is open upwards.")
    voucher_amount: Amount
    uses: Count = Field(description="How many assignments of the segment were of this amount.")
    rows: Count = Field(description="How many assignments are in the segment.")
    runner_up_amount: Amount | None = Field(description="The amount used most after this one.")
    runner_up_uses: Count | None
    basis: Literal["segment", "country"] = Field(
        description="`country` where the segment has no assignment: the amount is the one used most in the country."
    )
    tied: bool = Field(description="The runner-up was used as often; of the two, the smaller amount is the answer.")
    share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        description="`uses` of `rows`, to four digits; null without rows."
    )


class Explanation(Evidence, Answer):
    """The amount, and the votes behind it."""

    because: str = Field(description="The same in a sentence.")
    measured: Count = Field(description="The customer's orders, or days from the last order to `reference_day`.")
    reference_day: date = Field(description="The UTC day up to which days are counted.")
    run_id: str
    published_at: datetime
    checked_at: datetime = Field(description="When the run was last compared with its source.")
    data_to: datetime | None = Field(description="The last timestamp of the history that the run was learned from.")
    data_age_days: float | None = Field(description="How long ago `data_to` is.")


def explain(row: Segment, measured: int, reference_day: date, snapshot: Snapshot) -> Explanation:
    """Explain why `row` is the answer for this measured value on this day."""
    return Explanation(
        **dict(Evidence.model_validate(row)),
        because=because(row, measured, reference_day),
        measured=measured,
        reference_day=reference_day,
        run_id=snapshot.run_id,
        published_at=snapshot.published_at,
        checked_at=snapshot.checked_at,
        data_to=snapshot.data_to,
        data_age_days=snapshot.data_age_days(datetime.now(UTC)),
    )


def because(row: Segment, measured: int, reference_day: date) -> str:
    """Return a sentence: "27 orders, so segment 10-29: 2640 was used in 4,401 of 7,256 assignments, 61 %."."""
    one, many = UNITS[row.measure]
    since = f" from the last order to {reference_day}" if row.measure == "days_since_last_order" else ""
    found = f"{measured:,} {one if measured == 1 else many}{since}, so segment {row.segment}"
    if row.basis == "country":
        return f"{found}: it has no assignments, so {row.amount} is the amount used most in all of {row.country_code}."
    share = f"{row.uses:,} of {row.rows:,} assignments, {100 * (row.share or 0):.0f} %"
    tie = (
        f"; {json_number(row.runner_up_amount)} as often, and the smaller wins"
        if row.tied and row.runner_up_amount is not None
        else ""
    )
    return f"{found}: {row.amount} was used in {share}{tie}."
