"""GET /runs: the runs, and for each its source, files, audits and publications."""

from typing import Any

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field
from sqlalchemy import Executable, and_, func, or_, select, tuple_
from sqlalchemy.orm import aliased

from app.published import models
from app.published.reader import UnknownRunError, reader
from app.published.results import is_sample
from app.published.runs import STATUS, full_id
from app.reports import responses, run_models
from app.reports.parameters import Page
from app.reports.run_models import Run, RunDetail, Runs
from app.voucher.parameters import FORM, RUN_ID, SHORT


class Id(BaseModel):
    run_id: str = Field(description=SHORT)


blueprint = APIBlueprint("runs", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/runs",
    operation_id="getRuns",
    responses={200: responses.json_docs(run_models.RUNS, "The runs")},
)
def runs(query: Page) -> Response:
    """The runs, newest first"""
    page, more = load_runs(query.limit, query.before)
    return responses.json_response(
        Runs(runs=page, next=url_for(".runs", limit=query.limit, before=page[-1].run_id) if more else None)
    )


@blueprint.get(
    "/runs/<run_id>",
    operation_id="getRun",
    responses={200: responses.json_docs(run_models.RUN, "The run")},
)
def run(path: Id) -> Response:
    """A run with its files, audits and publications

    A path that is not a run's id gets a 404 too.
    """
    return responses.json_response(load_run(path.run_id))


def load_runs(limit: int, before: str | None) -> tuple[list[Run], bool]:
    """Return the newest runs, or those that started before this one, and whether there are more.

    `page` uses it too. Raises the errors of `full_id`.
    """
    before = before and full_id(reader("tables"), before)
    wanted = RUNS.limit(limit + 1)
    if before:
        edge = aliased(models.Run)
        wanted = wanted.join(edge, _age(models.Run) < _age(edge)).where(edge.run_id == before)
    found, edges = reader("tables").read(wanted, select(models.Run.run_id).where(models.Run.run_id == before))
    if before and not edges:
        raise UnknownRunError(before)
    return [Run.model_validate(row) for row in found[:limit]], len(found) > limit


def path_id(given: str) -> str:
    """Return the id of a run that a path or a page's address names, shortened or not.

    Raises the errors of `full_id`; UnknownRunError also for a text that is no id.
    """
    if not RUN_ID.fullmatch(given):
        raise UnknownRunError(given, f"does not exist: an id has {FORM}")
    return full_id(reader("tables"), given)


def load_run(run_id: str) -> RunDetail:
    """Return a run with its files, audits and publications. `page` uses it too.

    Raises the errors of `path_id`.
    """
    run_id = path_id(run_id)
    found, parts, audits, publications = reader("tables").read(*_all_of(run_id))
    if not found:
        raise UnknownRunError(run_id)
    columns = found[0]._asdict() | {"parts": parts, "audits": audits, "publications": publications}
    return RunDetail.model_validate(columns)


def _age(run: Any) -> Any:
    """Return the sort key of runs. Two may have started at the same time."""
    return tuple_(run.started_at, run.run_id)


RUNS = (
    select(
        *(column for column in models.Run.__table__.columns if column.name != "status"),
        STATUS.label("status"),
        models.CurrentRun.run_id.is_not(None).label("current"),
        select(func.max(models.Publication.at))
        .where(models.Publication.run_id == models.Run.run_id)
        .scalar_subquery()
        .label("published_at"),
        is_sample(models.Run.run_id).label("sample"),
    )
    .outerjoin(models.CurrentRun, models.CurrentRun.run_id == models.Run.run_id)
    .order_by(models.Run.started_at.desc(), models.Run.run_id.desc())
)


def _first_published(run_id: Any) -> Any:
    publication = aliased(models.Publication)
    return select(func.min(publication.at)).where(publication.run_id == run_id).scalar_subquery()


_forward = and_(
    models.Publication.action == "rollback",
    _first_published(models.Publication.run_id) > _first_published(models.Publication.previous_run_id),
)
PUBLICATIONS = select(models.Publication, func.coalesce(_forward, False).label("forward")).order_by(
    models.Publication.at.desc()
)


def _all_of(run_id: str) -> tuple[Executable, ...]:
    audit, moved = models.AuditOutcome, models.Publication
    return (
        RUNS.where(models.Run.run_id == run_id),
        select(models.Part).join(models.RunPart).where(models.RunPart.run_id == run_id).order_by(models.Part.uri),
        select(audit).where(audit.run_id == run_id).order_by(audit.audit),
        PUBLICATIONS.where(or_(moved.run_id == run_id, moved.previous_run_id == run_id)),
    )
