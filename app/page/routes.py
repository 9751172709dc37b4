"""GET /: the HTML page of a country, and what all pages share: their policy, icon and errors.

The page is complete as served. `static/page.js` requests it again with its ETag, and gets a 304 until the page would
show something else, because a run was published or the service's health changed.
"""

from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template, request
from werkzeug.exceptions import NotFound

from app.page import comparison, filters, history, outcomes, overview, try_form
from app.page.dropped import dropped as dropped_rows
from app.places.countries import AmbiguousCountryError, UnknownCountryError
from app.published.database import DatabaseUnavailableError
from app.published.refresher import Published
from app.published.runs import AmbiguousRunError
from app.published.snapshot import Snapshot
from app.reports.countries import country_kinds
from app.reports.runs import load_run
from app.reports.votes import Vote, load_votes
from app.settings import Settings
from app.web import problems
from app.web.health import Health, check_health

# Scripts, styles, images and forms are only allowed from this host, and not inline.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

blueprint = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")
filters.register(blueprint)
history.add_routes(blueprint)


@blueprint.get("/")
def index() -> Response:
    published: Published = current_app.extensions["published"]
    settings: Settings = current_app.extensions["settings"]
    run, now = published.snapshot, datetime.now(UTC)
    health = check_health(published, settings.max_age_hours, now)
    state = _state(health, now)
    if request.if_none_match.contains_weak(state):
        response = Response(status=HTTPStatus.NOT_MODIFIED)
    else:
        status, context = _context(run) if run and run.countries else (HTTPStatus.OK, {})
        context |= {"run": run, "health": health, "settings": settings, "state": state, "happened": published.happened}
        response = make_response(render_template("index.html", **context), status)
    response.set_etag(state, weak=True)
    return response


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    return blueprint.send_static_file("favicon.svg")


@blueprint.app_errorhandler(NotFound)
def not_found(error: NotFound) -> Response:
    """Answer an unknown path with a page if a browser asks, and with JSON to every other client."""
    problem = problems.from_http_exception(error)
    wants_page = request.method == "GET" and request.accept_mimetypes.best_match(["application/json", "text/html"])
    response = _problem_page(problem, error) if wants_page == "text/html" else problems.response(problem)
    response.vary.add("Accept")
    return response


def _problem_page(problem: problems.Problem, error: Exception) -> Response:
    runs = error.found if isinstance(error, AmbiguousRunError) else ()
    response = make_response(render_template("problem.html", problem=problem, runs=runs), problem.status)
    return set_policy(response)


problems.register(blueprint, _problem_page)


@blueprint.after_request
def set_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _state(health: Health, now: datetime) -> str:
    """Return a hash that changes when the page would.

    It includes the day, because ages are in days and recency counts to today.
    """
    state = health.run_id, health.published_at, health.checked_at, health.failing, health.version, now.date()
    return sha256(repr(state).encode()).hexdigest()[:16]


def _context(run: Snapshot) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return the status and the template variables of a run."""
    try:
        country = overview.selected(run, request.args.get("country", ""))
    except (UnknownCountryError, AmbiguousCountryError) as error:
        return HTTPStatus(error.status), {"unknown": error, "names": overview.by_name(run.countries)}
    everything = request.args.get("overview") == "all"
    context = {
        "country": country,
        "names": overview.by_name(run.countries),
        "currency": run.currency(country),
        "added": {one.segment_name: one for one in country_kinds(run, country)},
        "overview": overview.overview(run, country, everything),
        "form": try_form.try_customer(run, country, request.args),
        "measured": try_form.measured_fields(run),
        "outcomes": outcomes.tried_kinds(run, country),
        "lottery": outcomes.lottery_line(run, country),
    }
    return HTTPStatus.OK, context | _from_postgres(run, country)


def _from_postgres(run: Snapshot, country: str) -> dict[str, Any]:
    """Return the template variables from Postgres; none while it is unavailable."""
    try:
        dropped, (publications, loaded) = dropped_rows(run, country), history.latest()
        votes: dict[tuple[str, str], list[Vote]] = {}
        for vote in load_votes(run, country):
            votes.setdefault((vote.segment_name, vote.segment), []).append(vote)
        newest = publications[0] if publications else None
        replaced = newest.previous_run_id if newest else None
        given = (request.args.get(name) for name in ("old", "new"))
        old, new = (comparison.whole_id(one) if one else None for one in given)
        old, new = old or replaced, new or (newest and newest.run_id)
        changes = comparison.compare(old, new) if old and new else None
        audits = load_run(run.run_id).audits
        latest = None
        if newest and replaced and newest.run_id == run.run_id:
            same = (old, new) == (replaced, newest.run_id)
            latest = changes if same else comparison.compare(replaced, newest.run_id)
    except DatabaseUnavailableError:
        return {}
    compared = {"old": old, "new": new, "changes": changes, "latest": latest, "loaded": loaded}
    return {"dropped": dropped, "publications": publications, "votes": votes, "audits": audits, **compared}
