"""GET /segments: the published run's answers as a table, each with its evidence, from memory."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, computed_field

from app import rfc4180, tables
from app.log import RUN_HEADER
from app.published import Published
from app.queries import OfCountry
from app.snapshot import Snapshot, UnknownCountryError, number, same

Amount = Annotated[
    int | float,
    BeforeValidator(lambda value: number(value) if isinstance(value, Decimal) else value),
    WithJsonSchema({"type": "number"}),
]


class SegmentRow(BaseModel):
    """One answer: the voucher of a country's customers whose measure lies in the bounds."""

    model_config = ConfigDict(from_attributes=True)

    country_code: str
    segment_name: str
    segment: str
    position: int
    measure: str = Field(description="What is counted: orders, or days since the last one.")
    lower_bound: int = Field(description="Inclusive.")
    upper_bound: int | None = Field(description="Inclusive; null where the segment is open upwards.")
    voucher_amount: Amount
    uses: int = Field(description="How many of `rows` were sent this amount.")
    rows: int
    runner_up_amount: Amount | None = Field(description="The amount used most after this one.")
    runner_up_uses: int | None
    basis: Literal["segment", "country"] = Field(
        description="`country`: the segment has no rows, and this is the amount used most in the whole country."
    )
    tied: bool = Field(description="Whether the runner-up was used as often: the smaller amount won.")

    @computed_field(description="`uses` of `rows`, to four digits; null where there are no rows.")  # type: ignore[prop-decorator]
    @property
    def share(self) -> float | None:
        return round(self.uses / self.rows, 4) if self.rows else None


class Segments(BaseModel):
    """By country, kind and position."""

    run_id: str
    published_at: datetime
    today: date | None = Field(description="The day that recency counts to, where TODAY pinned it.")
    data_to: datetime | None = Field(description="The last timestamp of the history that the run was learned from.")
    segments: list[SegmentRow]


def csv(rows: list[SegmentRow]) -> str:
    header = [*SegmentRow.model_fields, *SegmentRow.model_computed_fields]
    return "".join(map(rfc4180.line, [header, *(row.model_dump().values() for row in rows)]))


EXAMPLE = Segments(
    run_id=tables.RUN_ID,
    published_at=datetime(2026, 3, 1, 4, 30, tzinfo=UTC),
    today=None,
    data_to=datetime(2018, 7, 14, 21, tzinfo=UTC),
    segments=[
        SegmentRow(
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
        )
    ],
)
CSV_EXAMPLE = csv(EXAMPLE.segments)

blueprint = APIBlueprint(
    "segments",
    __name__,
    abp_tags=[tables.TAG],
    abp_responses=tables.refusals(tables.BAD_COUNTRY, tables.UNPUBLISHED, tables.UNKNOWN_COUNTRY),
)


@blueprint.get(
    "/segments",
    responses={
        200: tables.json_shown(EXAMPLE, "The segments", tables.RUN_HEADERS, more=tables.csv_content(CSV_EXAMPLE))
    },
)
def segments(query: OfCountry) -> Response:
    """What each segment is answered, and on which evidence

    From memory. As CSV for `Accept: text/csv`, or at `/segments.csv`.
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
        response = tables.json_answer(body, run.run_id)
    response.vary.add("Accept")
    return response


@blueprint.get("/segments.csv", responses={200: tables.csv_shown(CSV_EXAMPLE, "The segments")})
def segments_csv(query: OfCountry) -> Response:
    """The same as CSV"""
    return _csv_answer(_published(), query)


def _published() -> Snapshot:
    published: Published = current_app.extensions["published"]
    return published.require()


def _csv_answer(run: Snapshot, query: OfCountry) -> Response:
    return Response(csv(_rows(run, query)), headers={RUN_HEADER: run.run_id}, mimetype=rfc4180.MIMETYPE)


def _rows(run: Snapshot, query: OfCountry) -> list[SegmentRow]:
    """Raises UnknownCountryError."""
    found = [row for row in run.segments if query.country is None or same(row.country_code) == same(query.country)]
    if query.country is not None and not found:
        raise UnknownCountryError(query.country, run.countries)
    found.sort(key=lambda row: (row.country_code, row.segment_name, row.position))
    return [SegmentRow.model_validate(row) for row in found]
