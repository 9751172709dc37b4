"""GET /countries: each country with its codes and currency, and what the segments of a kind add to a single amount."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from app.places.territories import territory
from app.published.lottery import json_number
from app.published.segment import Segment
from app.published.snapshot import Snapshot
from app.reports import responses
from app.reports.parameters import OfCountry, of_country
from app.voucher.explanation import Amount, Count, Share


class CountryKind(BaseModel):
    """A country and a segment kind: the votes that a single amount matches, and those that the segments match.

    A vote is matched if it is for the amount that its customer is answered today. Both are counted on the history that
    the amounts are from, so segments can only match more. Notebook 03 tests them on later weeks.
    """

    country_code: str = Field(description="As stored.")
    iso_code: str | None = Field(description="ISO 3166 code of two letters; null if the name is not known.")
    currency: str | None = Field(description="ISO 4217 code of the amounts; null if unknown.")
    currency_basis: Literal["country", "setting"] | None = Field(description="Where the currency is from.")
    segment_name: str
    kind_title: str = Field(description="A name of the kind for people.")
    rows: Count = Field(description="Number of votes in the kind's segments.")
    mean_amount: Amount | None = Field(description="The mean of the amounts sent; null if unknown.")
    single_amount: Amount | None = Field(description="The one amount that matches most of these votes.")
    single_share: Share | None = Field(description="The share of the votes that it matches.")
    segments_share: Share | None = Field(description="The share of the votes that the segments' amounts match.")


class Countries(BaseModel):
    """Sorted by country; the kinds are in their order."""

    run_id: str
    published_at: datetime
    countries: list[CountryKind]


EXAMPLE = Countries(
    run_id=responses.RUN_ID,
    published_at=responses.PUBLISHED_AT,
    countries=[
        CountryKind(
            country_code="Peru",
            iso_code="PE",
            currency="PEN",
            currency_basis="country",
            segment_name="frequent_segment",
            kind_title="Number of orders",
            rows=7256,
            mean_amount=2915.38,
            single_amount=2640,
            single_share=0.5412,
            segments_share=0.6065,
        )
    ],
)
CSV_EXAMPLE = responses.csv_table(CountryKind, EXAMPLE.countries)

blueprint = APIBlueprint("countries", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/countries",
    operation_id="getCountries",
    responses={
        200: responses.json_docs(EXAMPLE, "The countries", responses.RUN_HEADERS, more=responses.csv_media(CSV_EXAMPLE))
    },
)
def countries(query: OfCountry) -> Response:
    """The countries, their currencies, and what segments add

    This is read from memory. It is CSV with `Accept: text/csv`.
    """
    run = responses.published_run()

    def rows() -> list[CountryKind]:
        return country_kinds(run, query.country)

    return responses.json_or_csv(
        lambda: Countries(**responses.live_since(run), countries=rows()),
        lambda: responses.csv_table(CountryKind, rows()),
        run.run_id,
    )


def country_kinds(run: Snapshot, country: str | None = None) -> list[CountryKind]:
    """Return the kinds of one country, or of all, sorted by country. Raises the errors of `Snapshot.country`."""
    places = {kind.segment_name: kind for kind in run.kinds}
    of_kind: dict[tuple[str, str], list[Segment]] = {}
    for row in of_country(run.segments, run, country):
        of_kind.setdefault((row.country_code, row.segment_name), []).append(row)
    found = [_country_kind(run, rows) for rows in of_kind.values()]
    return sorted(found, key=lambda one: (one.country_code, places[one.segment_name].position))


def _country_kind(run: Snapshot, segments: list[Segment]) -> CountryKind:
    first, rows = segments[0], sum(row.rows for row in segments)
    currency = run.currency(first.country_code)
    single = run.single_amount(first.country_code, first.segment_name)
    sent = sum((row.mean_amount * row.rows for row in segments if row.mean_amount is not None), Decimal(0))
    return CountryKind(
        country_code=first.country_code,
        iso_code=territory(first.country_code),
        currency=currency.code if currency else None,
        currency_basis=currency.basis if currency else None,
        segment_name=first.segment_name,
        kind_title=first.kind_title,
        rows=rows,
        mean_amount=json_number(round(sent / rows, 2)) if sent and rows else None,
        single_amount=json_number(single.voucher_amount) if single else None,
        single_share=single.uses / single.rows if single else None,
        segments_share=sum(row.uses for row in segments) / rows if rows else None,
    )
