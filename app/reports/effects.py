"""GET /effects: what vouchers did, and what ways to choose them are worth, from memory."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.published.snapshot import Snapshot
from app.reports import responses
from app.reports.parameters import OfCountry, of_country
from app.voucher.explanation import DIGITS, Amount, Count, Share

Difference = Annotated[float, Field(ge=-2, le=2), AfterValidator(lambda value: round(value, DIGITS))]
Cost = Annotated[float, AfterValidator(lambda value: round(value, 2))]

ORDER = ("most used", "best by outcome", "uniform")  # of the policies


class AmountEffect(BaseModel):
    """What an amount did in a segment: a row of voucher.effect. Fields are named after its columns."""

    model_config = ConfigDict(from_attributes=True)

    country_code: str = Field(description="As stored.")
    segment_name: str
    segment: str
    voucher_amount: Amount
    known: Count = Field(description="Number of vouchers whose outcome is known.")
    clusters: Count = Field(
        description="Number of clusters: groups of vouchers that were decided together; by default, UTC days."
    )
    evidence: Literal["effect", "association"] = Field(
        description="`effect` if the propensity of each of the segment's vouchers is known. Otherwise `association`, "
        "which recommends nothing: who got which amount was not left to chance."
    )
    share: Share | None = Field(description="Share of the vouchers that were redeemed, from 0 to 1; null if refused.")
    share_low: Share | None = Field(description="Lower end of its 95 % interval, by cluster.")
    share_high: Share | None = Field(description="Upper end of this interval.")
    cost: Cost | None = Field(
        description="Mean cost a customer, in the unit of `voucher_amount`: only redeemed vouchers cost."
    )
    compared_with: Amount | None = Field(
        description="The smallest amount of the segment that has a share; null for this amount itself."
    )
    difference: Difference | None = Field(
        description="`share` minus that of `compared_with`, from -1 to 1. If it is an `association`, it is no effect."
    )
    difference_low: Difference | None = Field(description="Lower end of its 95 % interval, by cluster.")
    difference_high: Difference | None = Field(description="Upper end of this interval.")
    further_cost: Cost | None = Field(
        description="Cost of one further redemption: the difference of the costs a customer divided by `difference`, "
        "in the unit of `voucher_amount`. It is null for an `association`, and if the difference may be 0 or less."
    )
    refused: str | None = Field(description="Why there are no figures; null if there are.")


class PolicyValue(BaseModel):
    """What a way to choose amounts is worth: a row of voucher.policy. Fields are named after its columns."""

    model_config = ConfigDict(from_attributes=True)

    country_code: str = Field(description="As stored.")
    segment_name: str
    policy: Literal["most used", "best by outcome", "uniform"] = Field(
        description="`most used`: each segment's most used amount; `best by outcome`: each segment's amount with the "
        "largest share redeemed; `uniform`: each of a segment's amounts equally often."
    )
    known: Count = Field(description="Number of vouchers whose outcome is known and whose amount the policy gives.")
    clusters: Count = Field(description="Number of clusters that they are from.")
    value: Share | None = Field(
        description="Share of the customers who would redeem their voucher, from 0 to 1; null if refused."
    )
    value_low: Share | None = Field(description="Lower end of its 95 % interval, by cluster.")
    value_high: Share | None = Field(description="Upper end of this interval.")
    cost: Cost | None = Field(description="Mean cost a customer, in the unit of `voucher_amount`.")
    refused: str | None = Field(
        description="Why there are no figures; null if there are. A kind with an `association` has none."
    )


class Effects(BaseModel):
    """What vouchers did. Both lists are empty if no outcome is known."""

    run_id: str
    published_at: datetime
    effects: list[AmountEffect] = Field(description="Sorted by country, kind, position of the segment and amount.")
    policies: list[PolicyValue] = Field(description="Sorted by country and kind.")


EXAMPLE = Effects(
    run_id=responses.RUN_ID,
    published_at=datetime(2026, 3, 1, 4, 30, tzinfo=UTC),
    effects=[
        AmountEffect(
            country_code="Peru",
            segment_name="frequent_segment",
            segment="20-29",
            voucher_amount=3520.5,
            known=1480,
            clusters=31,
            evidence="effect",
            share=0.3412,
            share_low=0.3127,
            share_high=0.3697,
            cost=1201.19,
            compared_with=2640,
            difference=0.0524,
            difference_low=0.0207,
            difference_high=0.0841,
            further_cost=8370.42,
            refused=None,
        )
    ],
    policies=[
        PolicyValue(
            country_code="Peru",
            segment_name="frequent_segment",
            policy="most used",
            known=9210,
            clusters=31,
            value=0.2975,
            value_low=0.2802,
            value_high=0.3148,
            cost=811.47,
            refused=None,
        )
    ],
)
CSV_EXAMPLE = responses.csv_table(AmountEffect, EXAMPLE.effects)

blueprint = APIBlueprint("effects", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/effects",
    operation_id="getEffects",
    responses={
        200: responses.json_docs(
            EXAMPLE, "The effects and policies", responses.RUN_HEADERS, more=responses.csv_media(CSV_EXAMPLE)
        )
    },
)
def effects(query: OfCountry) -> Response:
    """What each amount did, and what ways to choose amounts are worth

    This is read from memory, and needs outcomes in the history. With `Accept: text/csv`, or at `/effects.csv`, it is
    the list `effects` as CSV. An `association` recommends nothing.
    """
    run = responses.published_run()

    def body() -> Effects:
        return Effects(
            **responses.live_since(run),
            effects=_effects(run, query),
            policies=_policies(run, query),
        )

    return responses.json_or_csv(body, lambda: responses.csv_table(AmountEffect, _effects(run, query)), run.run_id)


@blueprint.get(
    "/effects.csv", operation_id="getEffectsCsv", responses={200: responses.csv_docs(CSV_EXAMPLE, "The effects")}
)
def effects_csv(query: OfCountry) -> Response:
    """What each amount did, as CSV"""
    run = responses.published_run()
    return responses.csv_response(responses.csv_table(AmountEffect, _effects(run, query)), run.run_id)


def _effects(run: Snapshot, query: OfCountry) -> list[AmountEffect]:
    """Return the rows of one country, or of all. Raises UnknownCountryError."""
    place = {(row.country_code, row.segment_name, row.segment): row.position for row in run.segments}
    found = sorted(
        of_country(run.effects, run, query.country),
        key=lambda row: (
            row.country_code,
            row.segment_name,
            place.get((row.country_code, row.segment_name, row.segment), -1),
            row.voucher_amount,
        ),
    )
    return [AmountEffect.model_validate(row) for row in found]


def _policies(run: Snapshot, query: OfCountry) -> list[PolicyValue]:
    found = sorted(
        of_country(run.policies, run, query.country),
        key=lambda row: (row.country_code, row.segment_name, ORDER.index(row.policy)),
    )
    return [PolicyValue.model_validate(row) for row in found]
