"""GET /rules: the rows that each rule dropped, and why, by country. `page.history` uses it too."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app.published import models
from app.published.reader import UnknownRunError, reader
from app.reports import responses
from app.reports.parameters import OfRun


class Outcome(BaseModel):
    """A rule's rows in one country."""

    model_config = ConfigDict(from_attributes=True)

    country_code: str = Field(description="Empty for rows without a country.")
    matched: int = Field(description="Rows that match the rule's condition.")
    dropped: int = Field(description="Matched rows that no earlier rule had dropped.")
    example: str | None = Field(description="A matched row, as in the source.")


class Rule(BaseModel):
    position: int
    name: str
    drop_when: str | None = Field(description="The condition; null for the built-in reasons.")
    because: str
    share_low: float = Field(description="The lowest expected share of matched rows. A run below it is not published.")
    share_high: float = Field(description="The highest expected share. A run above it is not published.")
    matched: int
    dropped: int
    share: float | None = Field(description="`matched` divided by `rows_in`, to six digits.")
    countries: list[Outcome]


class Rules(BaseModel):
    """The rules in their order. A dropped row counts for the first rule that it breaks."""

    run_id: str
    rows_in: int | None
    rows_kept: int | None
    rules: list[Rule]


EXAMPLE = Rules(
    run_id=responses.RUN_ID,
    rows_in=1000,
    rows_kept=900,
    rules=[
        Rule(
            position=8,
            name="missing_first_order",
            drop_when="first_order_ts IS NULL",
            because="A customer that ordered once has a first order.",
            share_low=0.0,
            share_high=0.15,
            matched=100,
            dropped=100,
            share=0.1,
            countries=[Outcome(country_code="Peru", matched=100, dropped=100, example='{"first_order_ts": null}')],
        )
    ],
)

blueprint = APIBlueprint("rules", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/rules",
    operation_id="getRules",
    responses={200: responses.json_docs(EXAMPLE, "The rules", responses.RUN_HEADERS)},
)
def rules(query: OfRun) -> Response:
    """The rules and the rows they dropped

    They are those of the published run, or of the run that `run` names.
    """
    found = load_rules(responses.wanted_run(query.run))
    return responses.json_response(found, found.run_id)


def load_rules(run_id: str) -> Rules:
    """Return the rules of a run with their counts. Raises DatabaseUnavailableError or UnknownRunError."""
    counts, found, outcomes = reader("tables").read(
        select(models.Run.rows_in, models.Run.rows_kept).where(models.Run.run_id == run_id),
        select(models.Rule).where(models.Rule.run_id == run_id).order_by(models.Rule.position),
        select(models.RuleOutcome).where(models.RuleOutcome.run_id == run_id).order_by(models.RuleOutcome.country_code),
    )
    if not counts:
        raise UnknownRunError(run_id)
    rows_in, rows_kept = counts[0].rows_in, counts[0].rows_kept
    by_rule: dict[str, list[Outcome]] = {}
    for row in outcomes:
        by_rule.setdefault(row.rule, []).append(Outcome.model_validate(row))
    return Rules(
        run_id=run_id,
        rows_in=rows_in,
        rows_kept=rows_kept,
        rules=[_rule(rule._asdict(), by_rule.get(rule.name, []), rows_in) for rule in found],
    )


def _rule(columns: dict[str, object], outcomes: list[Outcome], rows_in: int | None) -> Rule:
    matched, dropped = sum(each.matched for each in outcomes), sum(each.dropped for each in outcomes)
    share = round(matched / rows_in, 6) if rows_in else None
    counts = {"matched": matched, "dropped": dropped, "share": share, "countries": outcomes}
    return Rule.model_validate(columns | counts)
