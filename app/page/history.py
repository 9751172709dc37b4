"""The runs on record: the latest publications for GET /, and pages for people at GET /history and /history/RUN."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template, request
from sqlalchemy import Row

from app.page import comparison
from app.published import models
from app.published.reader import reader
from app.reports import rules
from app.reports.run_models import Run
from app.reports.runs import PUBLICATIONS, RUNS, load_run, load_runs, path_id

LATEST = 20  # publications; /history lists all runs
PAGE = 50  # runs of /history

MOVES = PUBLICATIONS.add_columns(models.Run.rows_kept, models.Run.data_to).join(
    models.Run, models.Run.run_id == models.Publication.run_id
)


def latest() -> tuple[Sequence[Row[Any]], list[Run]]:
    """Return the latest publications and the latest loaded runs, newest first. Raises DatabaseUnavailableError."""
    loaded = RUNS.where(models.Run.finished_at.is_not(None)).limit(LATEST)
    moves, found = reader("tables").read(MOVES.limit(LATEST), loaded)
    return moves, [Run.model_validate(row) for row in found]


def add_routes(blueprint: Blueprint) -> None:
    """Add both pages to the blueprint of the page."""
    blueprint.add_url_rule("/history", view_func=runs)
    blueprint.add_url_rule("/history/<run_id>", view_func=run)


def runs() -> Response:
    """All runs, newest first: when, status, who, why and rows. Raises the errors of `path_id`."""
    before = request.args.get("before")
    found, more = load_runs(PAGE, None if before is None else path_id(before))
    ids = [one.run_id for one in found]
    [moves] = reader("tables").read(MOVES.where(models.Publication.run_id.in_(ids)))
    last = {move.run_id: move for move in reversed(moves)}
    return make_response(render_template("history.html", runs=found, last=last, more=more))


def run(run_id: str) -> Response:
    """A run with what it changed or would change, audits, publications, rules and files.

    A run that was live is compared with the one it replaced last, any other with the live one. Raises the errors of
    `load_run`.
    """
    found, published = load_run(run_id), current_app.extensions["published"].snapshot
    live = published.run_id if published else None
    move = next((one for one in found.publications if one.run_id == found.run_id), None)
    before = move.previous_run_id if move else None if found.current else live
    changes = comparison.compare(before, found.run_id) if before and found.finished_at else None
    compared = {"move": move, "before": before, "changes": changes}
    return make_response(
        render_template("run.html", run=found, rules=rules.load_rules(found.run_id), live=live, **compared)
    )
