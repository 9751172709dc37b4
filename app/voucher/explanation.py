"""Explain an answer: the evidence in a row of `/segments`, the body of `?explain=true`, and a sentence."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.published.snapshot import Segment, Snapshot, json_number

Amount = Annotated[
    int | float,
    BeforeValidator(lambda value: json_number(value) if isinstance(value, Decimal) else value),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Count = Annotated[int, Field(ge=0)]
DIGITS = 4  # of a share
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda value: round(value, DIGITS))]

# Singular and plural of each measure's unit.
UNITS = {"total_orders": ("order", "orders"), "days_since_last_order": ("day", "days")}


class Answer(BaseModel):
    """The amount sent most often to customers like this one."""

    voucher_amount: Amount


class Evidence(BaseModel):
    """A segment's amount and its votes: a row of voucher.segment. Fields are named after its columns."""

    model_config = ConfigDict(from_attributes=True)

    country_code: str = Field(description="As stored.")
    segment_name: str
    segment: str
    position: int = Field(description="Position of the segment in its kind, from 0.")
    measure: str = Field(description="The measure of the kind: `total_orders` or `days_since_last_order`.")
    lower_bound: int = Field(description="Inclusive.")
    upper_bound: int | None = Field(description="Inclusive; null if there is none.")
    voucher_amount: Amount
    uses: Count = Field(description="Number of the segment's vouchers with this amount.")
    rows: Count = Field(description="Number of the segment's vouchers.")
    runner_up_amount: Amount | None = Field(description="The second most used amount.")
    runner_up_uses: Count | None
    basis: Literal["segment", "country"] = Field(
        description="`country` if the segment has no vouchers: the amount is the most used one of the country."
    )
    tied: bool = Field(description="Whether the runner-up was used as often. Of the two, the smaller amount wins.")
    share: Share | None = Field(description="`uses` divided by `rows`, to four digits; null without rows.")
    sends: Count | None = Field(
        description="Number of UTC days on which the segment had a voucher; null in a run of an earlier version."
    )
    share_low: Share | None = Field(
        description="Lower end of the 95 % interval of `share`. It is calculated from the sends, because vouchers of "
        "the same send are not independent. It is null below 10 sends."
    )
    share_high: Share | None = Field(description="Upper end of this interval; null below 10 sends.")
    clear: bool | None = Field(
        description="Whether the lead over the runner-up is larger than its own 95 % margin of error; null below 10 "
        "sends."
    )


class Explanation(Evidence, Answer):
    """The amount and its evidence."""

    because: str = Field(description="A summary in one sentence.")
    measured: Count = Field(description="The customer's orders, or days from the last order to `reference_day`.")
    reference_day: date = Field(description="The UTC day that days are counted to.")
    run_id: str
    published_at: datetime
    checked_at: datetime = Field(description="When the run was last compared with its source.")
    data_to: datetime | None = Field(description="The last timestamp of the run's history.")
    data_age_days: float | None = Field(description="Days since `data_to`.")


def explain(row: Segment, measured: int, reference_day: date, snapshot: Snapshot) -> Explanation:
    """Return the explanation of the amount in `row` for this measured value on this day."""
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
    """Return a sentence: "27 orders, so segment 10-29: 2640 was used in 4,401 of 7,256 vouchers, 61 %, give or take 3
    points over 30 sends.".
    """
    one, many = UNITS[row.measure]
    since = f" from the last order to {reference_day}" if row.measure == "days_since_last_order" else ""
    found = f"{measured:,} {one if measured == 1 else many}{since}, so segment {row.segment}"
    if row.basis == "country":
        return f"{found}: it has no vouchers, so {row.amount} is the amount used most in all of {row.country_code}."
    share = f"{row.uses:,} of {row.rows:,} vouchers, {100 * (row.share or 0):.0f} %"
    tie = (
        f"; {json_number(row.runner_up_amount)} as often, and the smaller wins"
        if row.tied and row.runner_up_amount is not None
        else ""
    )
    return f"{found}: {row.amount} was used in {share}{_how_sure(row)}{tie}."


def _how_sure(row: Segment) -> str:
    if row.sends is None:
        return ""
    if row.points is None:
        return "; too few sends to tell how sure that is"
    points = {0: "less than 1 point", 1: "1 point"}.get(round(row.points), f"{row.points:.0f} points")
    sure = f", give or take {points} over {row.sends:,} sends"
    if row.clear or row.tied or row.runner_up_amount is None:
        return sure
    return f"{sure}; not clear of {json_number(row.runner_up_amount)}"
