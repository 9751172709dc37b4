"""GET /segments: the answers of the published run as a table with their evidence, from memory."""

from datetime import UTC, date, datetime

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from app.published.refresher import Published
from app.published.snapshot import Snapshot, UnknownCountryError
from app.reports import responses, rfc4180
from app.reports.parameters import OfCountry
from app.voucher.explanation import Evidence
from app.web.request_log import RUN_HEADER
from shared.countries import country_key


class Segments(BaseModel):
    """Sorted by country, kind and position."""

    run_id: str
    published_at: datetime
    today: date | None = Field(description="The day that recency counts to, if TODAY pinned it.")
    data_to: datetime | None = Field(description="The last timestamp of the run's history.")
    segments: list[Evidence]


def csv(rows: list[Evidence]) -> str:
    return "".join(map(rfc4180.line, [Evidence.model_fields, *(row.model_dump().values() for row in rows)]))


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
        )
    ],
)
CSV_EXAMPLE = csv(EXAMPLE.segments)

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
    run = _published()
    if request.accept_mimetypes.best_match(["application/json", rfc4180.MIMETYPE]) == rfc4180.MIMETYPE:
        response = _csv_answer(run, query)
    else:
        body = Segments(
            run_id=run.run_id,
            published_at=run.published_at,
            today=run.today,
            data_to=run.data_to,
            segments=_rows(run, query),
        )
        response = responses.json_response(body, run.run_id)
    response.vary.add("Accept")
    return response


@blueprint.get(
    "/segments.csv", operation_id="getSegmentsCsv", responses={200: responses.csv_docs(CSV_EXAMPLE, "The segments")}
)
def segments_csv(query: OfCountry) -> Response:
    """The same table, as CSV"""
    return _csv_answer(_published(), query)


def _published() -> Snapshot:
    published: Published = current_app.extensions["published"]
    return published.require()


def _csv_answer(run: Snapshot, query: OfCountry) -> Response:
    return Response(csv(_rows(run, query)), headers={RUN_HEADER: run.run_id}, mimetype=rfc4180.MIMETYPE)


def _rows(run: Snapshot, query: OfCountry) -> list[Evidence]:
    """Return the rows of one country, or of all. Raises UnknownCountryError."""
    found = list(run.segments)
    if query.country is not None:
        key = country_key(query.country)
        found = [row for row in run.segments if country_key(row.country_code) == key]
        if not found:
            raise UnknownCountryError(query.country, run.countries)
    found.sort(key=lambda row: (row.country_code, row.segment_name, row.position))
    return [Evidence.model_validate(row) for row in found]
