"""Explain an answer: the evidence in a row of `/segments`, the body of `?explain=true`, and a sentence."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.published.lottery import Choice, ChosenBy, json_number
from app.published.segment import Segment
from app.published.snapshot import RunStatus, Snapshot
from app.voucher.sentence import because, origin

Amount = Annotated[
    int | float,
    BeforeValidator(lambda value: json_number(value) if isinstance(value, Decimal) else value),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Count = Annotated[int, Field(ge=0)]
DIGITS = 4  # of a share
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda value: round(value, DIGITS))]


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
    measure: str = Field(description="The measure of the kind, such as `total_orders` or `days_since_last_order`.")
    lower_bound: int = Field(description="Inclusive.")
    upper_bound: int | None = Field(description="Inclusive; null if there is none.")
    voucher_amount: Amount
    uses: Count = Field(description="Number of the segment's vouchers with this amount.")
    rows: Count = Field(description="Number of the segment's vouchers.")
    runner_up_amount: Amount | None = Field(description="The second most used amount.")
    runner_up_uses: Count | None
    basis: Literal["segment", "country", "effect"] = Field(
        description="`country` if the segment has no vouchers: the amount is the most used one of the country. "
        "`effect` if the amount is chosen by its effect; the runner-up is then the most used other amount."
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
    title: str | None = Field(description="A name of the segment for people; null if it has none.")
    kind_title: str = Field(description="A name of the kind for people.")
    mean_amount: Amount | None = Field(description="The mean of the amounts sent to the segment; null if unknown.")
    currency: str | None = Field(None, description="ISO 4217 code of the amounts; null if unknown.")
    currency_basis: Literal["country", "setting"] | None = Field(
        None,
        description="Where the currency is from: `country`, the one in use there when the history ended, or `setting`, "
        "the setting VOUCHER_CURRENCY.",
    )


class Explanation(Evidence, Answer):
    """The amount and its evidence."""

    because: str = Field(description="A summary in a sentence or two.")
    chosen_by: ChosenBy = Field(
        description="`table`: the customer gets `table_amount`; `lottery`: an amount drawn by `customer_id`; "
        "`holdout`: the amount of those who are held out."
    )
    propensity: Annotated[float, Field(gt=0, le=1)] = Field(
        description="How likely a customer of the segment gets this amount; 1 without a lottery or a `customer_id`."
    )
    table_amount: Amount = Field(description="The amount of the segment, which most customers get.")
    evidence: Literal["effect", "association"] | None = Field(
        description="What is known of the amount's outcomes: an `effect` if all propensities of the segment are known, "
        "else an `association`; null without outcomes."
    )
    redeemed: Share | None = Field(description="The share of customers who redeemed the amount; null if not told.")
    redeemed_low: Share | None = Field(description="Lower end of its 95 % interval, by cluster.")
    redeemed_high: Share | None = Field(description="Upper end of this interval.")
    measured: Count = Field(
        description="The customer's number, such as `total_orders`, or the days to `reference_day`."
    )
    reference_day: date = Field(description="The UTC day that days are counted to.")
    run_id: str
    run_status: RunStatus = Field(
        description="`current`: the published run. Other runs answer only if `run` names them: `published` before, "
        "`withdrawn` by a rollback, `rejected` by its audits, or `planned`, which was never published."
    )
    published_at: datetime | None = Field(description="When the run was last published; null if it never was.")
    checked_at: datetime = Field(description="When the run was last compared with its source.")
    data_to: datetime | None = Field(description="The last timestamp of the run's history.")
    data_age_days: float | None = Field(description="Days since `data_to`.")


def evidence(row: Segment, snapshot: Snapshot) -> Evidence:
    """Return the evidence of a segment of this run."""
    currency = snapshot.currency(row.country_code)
    known = {"currency": currency.code, "currency_basis": currency.basis} if currency else {}
    return Evidence.model_validate(row).model_copy(update=known)


def explain(row: Segment, choice: Choice, measured: int, reference_day: date, snapshot: Snapshot) -> Explanation:
    """Return the explanation of a choice in the segment `row` for this measured value on this day."""
    effect = snapshot.effect(row, choice.voucher_amount)
    found = dict(evidence(row, snapshot))
    return Explanation(
        **found | {"voucher_amount": choice.voucher_amount},
        because=because(
            row, snapshot.kind(row.segment_name), choice, effect, measured=measured, reference_day=reference_day
        )
        + origin(snapshot),
        chosen_by=choice.chosen_by,
        propensity=float(choice.propensity),
        table_amount=found["voucher_amount"],
        evidence=effect.evidence if effect else None,
        redeemed=effect.share if effect else None,
        redeemed_low=effect.share_low if effect else None,
        redeemed_high=effect.share_high if effect else None,
        measured=measured,
        reference_day=reference_day,
        run_id=snapshot.run_id,
        run_status=snapshot.status,
        published_at=snapshot.published_at,
        checked_at=snapshot.checked_at,
        data_to=snapshot.data_to,
        data_age_days=snapshot.data_age_days(datetime.now(UTC)),
    )
