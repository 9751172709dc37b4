"""GET /segments: the answers of the published run as a table with their evidence, from memory."""

from datetime import UTC, date, datetime

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from app.published.snapshot import Snapshot
from app.reports import responses
from app.reports.parameters import OfCountry, of_country
from app.voucher.explanation import Evidence, evidence


class Segments(BaseModel):
    """Sorted by country, kind and position."""

    run_id: str
    published_at: datetime
    today: date | None = Field(description="The day that recency counts to, if TODAY pinned it.")
    data_to: datetime | None = Field(description="The last timestamp of the run's history.")
    segments: list[Evidence]


EXAMPLE = Segments(
    run_id=responses.RUN_ID,
    published_at=datetime(2026, 3, 1, 4, 30, tzinfo=UTC),
    today=None,
    data_to=datetime(2018, 7, 14, 21, tzinfo=UTC),
    segments=[
        Evidence(
            country_code="Peru",
            segment_name="frequent_segment",
            segment="20-29",
            position=3,
            measure="total_orders",
            lower_bound=20,
            upper_bound=29,
            voucher_amount=2640,
            uses=8,
            rows=10,
            runner_up_amount=3520.5,
            runner_up_uses=2,
            basis="segment",
            tied=False,
            share=0.8,
            sends=12,
            share_low=0.6812,
            share_high=0.9188,
            clear=True,
            title="regular customers",
            kind_title="Number of orders",
            mean_amount=2816.1,
            currency="PEN",
            currency_basis="country",
        )
    ],
)
CSV_EXAMPLE = responses.csv_table(Evidence, EXAMPLE.segments)

blueprint = APIBlueprint("segments", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/segments",
    operation_id="getSegments",
    responses={
        200: responses.json_docs(EXAMPLE, "The segments", responses.RUN_HEADERS, more=responses.csv_media(CSV_EXAMPLE))
    },
)
def segments(query: OfCountry) -> Response:
    """The amount of each segment, with its evidence

    This is read from memory. It is CSV with `Accept: text/csv`, or at `/segments.csv`.
    """
    run = responses.published_run()

    def body() -> Segments:
        return Segments(
            **responses.live_since(run),
            today=run.today,
            data_to=run.data_to,
            segments=_rows(run, query),
        )

    return responses.json_or_csv(body, lambda: responses.csv_table(Evidence, _rows(run, query)), run.run_id)


@blueprint.get(
    "/segments.csv", operation_id="getSegmentsCsv", responses={200: responses.csv_docs(CSV_EXAMPLE, "The segments")}
)
def segments_csv(query: OfCountry) -> Response:
    """The same table, as CSV"""
    run = responses.published_run()
    return responses.csv_response(responses.csv_table(Evidence, _rows(run, query)), run.run_id)


def _rows(run: Snapshot, query: OfCountry) -> list[Evidence]:
    """Return the rows of one country, or of all. Raises UnknownCountryError."""
    found = sorted(
        of_country(run.segments, run, query.country),
        key=lambda row: (row.country_code, row.segment_name, row.position),
    )
    return [evidence(row, run) for row in found]
