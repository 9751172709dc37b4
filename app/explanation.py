"""What an answer rests on: the body of `?explain=true`, and the sentence that says it as a person would."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.snapshot import Segment, Snapshot, number

Amount = Annotated[int | float, WithJsonSchema({"type": "number", "minimum": 0})]
Count = Annotated[int, Field(ge=0)]

# One and many of what is measured.
UNITS = {"total_orders": ("order", "orders"), "days_since_last_order": ("day", "days")}


class Answer(BaseModel):
    """The amount used most for customers like this one."""

    model_config = ConfigDict(extra="forbid")

    voucher_amount: Amount


class Explanation(Answer):
    """The amount, and what it rests on. Fields that bear the name of a column of voucher.segment are that column."""

    because: str = Field(description="The same in a sentence.")
    country_code: str = Field(description="As stored.")
    segment_name: str
    segment: str
    lower_bound: int = Field(description="Inclusive.")
    upper_bound: int | None = Field(description="Inclusive; null where the segment is open upwards.")
    measure: str = Field(description="`total_orders` or `days_since_last_order`.")
    measured: Count = Field(description="The customer's orders, or days from the last order to `reference_day`.")
    reference_day: date = Field(description="The UTC day up to which days are counted.")
    uses: Count = Field(description="How many assignments of the segment were of this amount.")
    rows: Count = Field(description="How many assignments are in the segment.")
    share: Annotated[float, Field(ge=0, le=1)] | None = Field(description="`uses` / `rows`; null without rows.")
    runner_up_amount: Amount | None
    runner_up_uses: Count | None
    basis: Literal["segment", "country"] = Field(
        description="`country` where the segment has no assignment: the amount is the one used most in the country."
    )
    tied: bool = Field(description="The runner-up was used as often; of the two, the smaller amount is the answer.")
    run_id: str
    published_at: datetime
    checked_at: datetime = Field(description="When the run was last compared with its source.")
    data_to: datetime | None = Field(description="The last timestamp of the history that the run was learned from.")
    data_age_days: float | None = Field(description="How long ago `data_to` is.")


def explain(row: Segment, measured: int, reference_day: date, snapshot: Snapshot) -> Explanation:
    """Why `row` is the answer for a customer who measures that much on that day."""
    return Explanation(
        voucher_amount=row.amount,
        because=because(row, measured, reference_day),
        country_code=row.country_code,
        segment_name=row.segment_name,
        segment=row.segment,
        lower_bound=row.lower_bound,
        upper_bound=row.upper_bound,
        measure=row.measure,
        measured=measured,
        reference_day=reference_day,
        uses=row.uses,
        rows=row.rows,
        share=row.share,
        runner_up_amount=None if row.runner_up_amount is None else number(row.runner_up_amount),
        runner_up_uses=row.runner_up_uses,
        basis=row.basis,
        tied=row.tied,
        run_id=snapshot.run_id,
        published_at=snapshot.published_at,
        checked_at=snapshot.checked_at,
        data_to=snapshot.data_to,
        data_age_days=snapshot.data_age_days(datetime.now(UTC)),
    )


def because(row: Segment, measured: int, reference_day: date) -> str:
    """Like "27 orders, so segment 10-29: 2640 was used in 4,401 of 7,256 assignments, 61 %."."""
    one, many = UNITS[row.measure]
    since = f" from the last order to {reference_day}" if row.measure == "days_since_last_order" else ""
    found = f"{measured:,} {one if measured == 1 else many}{since}, so segment {row.segment}"
    if row.basis == "country":
        return f"{found}: it has no assignments, so {row.amount} is the amount used most in all of {row.country_code}."
    share = f"{row.uses:,} of {row.rows:,} assignments, {100 * (row.share or 0):.0f} %"
    tie = (
        f"; {number(row.runner_up_amount)} as often, and the smaller wins"
        if row.tied and row.runner_up_amount is not None
        else ""
    )
    return f"{found}: {row.amount} was used in {share}{tie}."
