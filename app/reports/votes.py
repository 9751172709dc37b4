"""GET /votes: all amounts of each segment, not only the most used ones. `page` uses it too."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.published import models
from app.published.reader import reader
from app.published.snapshot import Snapshot
from app.reports import responses
from app.reports.parameters import OfRunAndCountry, of_country
from app.voucher.explanation import Amount, Count, Share
from app.voucher.parameters import named_run


class Vote(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    country_code: str = Field(description="As stored.")
    segment_name: str
    segment: str
    voucher_amount: Amount
    uses: Count = Field(description="Number of the segment's vouchers with this amount.")
    share: Share = Field(description="`uses` divided by the number of the segment's vouchers.")


class Votes(BaseModel):
    """Sorted by country, kind, position of the segment, and uses, most first."""

    run_id: str
    votes: list[Vote]


EXAMPLE = Votes(
    run_id=responses.RUN_ID,
    votes=[
        Vote(
            country_code="Peru",
            segment_name="frequent_segment",
            segment="20-29",
            voucher_amount=amount,
            uses=uses,
            share=uses / 10,
        )
        for amount, uses in ((2640, 8), (3520.5, 2))
    ],
)

blueprint = APIBlueprint("votes", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/votes",
    operation_id="getVotes",
    responses={
        200: responses.json_docs(
            EXAMPLE,
            "The votes",
            responses.RUN_HEADERS,
            more=responses.csv_media(responses.csv_table(Vote, EXAMPLE.votes)),
        )
    },
)
def votes(query: OfRunAndCountry) -> Response:
    """All amounts that each segment was sent

    They are those of the published run, or of the run that `run` names. It is CSV with `Accept: text/csv`.
    """
    run = named_run() or responses.published_run()
    found = load_votes(run, query.country)
    return responses.json_or_csv(
        lambda: Votes(run_id=run.run_id, votes=found), lambda: responses.csv_table(Vote, found), run.run_id
    )


def load_votes(run: Snapshot, country: str | None = None) -> list[Vote]:
    """Return the votes of one country, or of all.

    Raises DatabaseUnavailableError, or the errors of `Snapshot.country`.
    """
    segments = {
        (row.country_code, row.segment_name, row.segment): row for row in of_country(run.segments, run, country)
    }
    wanted = select(models.SegmentVote).where(models.SegmentVote.run_id == run.run_id)
    if country is not None:
        wanted = wanted.where(models.SegmentVote.country_code.in_({name for name, *_ in segments}))
    [rows] = reader("tables").read(wanted)
    found = [(segments[row.country_code, row.segment_name, row.segment], row) for row in rows]
    found.sort(
        key=lambda one: (one[0].country_code, one[0].segment_name, one[0].position, -one[1].uses, one[1].voucher_amount)
    )
    return [Vote.model_validate(row._asdict() | {"share": row.uses / segment.rows}) for segment, row in found]
