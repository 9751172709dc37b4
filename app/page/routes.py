"""GET /: the HTML page with segments, a customer to try, dropped rows and runs.

The page is complete as served. `static/page.js` requests it again with its ETag, and gets a 304 until the page would
show something else, because a run was published or the service's health changed.
"""

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for

from app.page import history, outcomes, overview
from app.places.countries import UnknownCountryError
from app.published import effects
from app.published.database import DatabaseUnavailableError
from app.published.refresher import Published
from app.published.snapshot import Snapshot
from app.settings import Settings
from app.web.health import Health, check_health
from shared.addresses import redact

# Scripts, styles, images and forms are only allowed from this host, and not inline.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
PARAMETERS = ("country", *overview.FORM, "old", "new")  # the query parameters of the page

blueprint = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")


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
        country = overview.country(run, request.args.get("country", ""))
    except UnknownCountryError as error:
        return HTTPStatus.NOT_FOUND, {"unknown": error}
    form = {"form": overview.try_customer(run, country, request.args), "measured": overview.measured_fields(run)}
    tried = {"outcomes": outcomes.tried_kinds(run, country), "lottery": outcomes.lottery_line(run, country)}
    return HTTPStatus.OK, {"country": country, **form, **tried, **_history(run, country)}


def _history(run: Snapshot, country: str) -> dict[str, Any]:
    """Return the template variables from Postgres; none while it is unavailable."""
    try:
        dropped, publications = history.dropped(run, country), history.publications()
        newest = publications[0] if publications else None
        old = request.args.get("old") or (newest and newest.previous_run_id)
        new = request.args.get("new") or (newest and newest.run_id)
        changes = history.compare(old, new) if old and new else None
    except DatabaseUnavailableError:
        return {}
    return {"dropped": dropped, "publications": publications, "old": old, "new": new, "changes": changes}


@blueprint.app_template_global()
def page_url(section: str = "", **changed: str) -> str:
    """Return the URL of the page with the current query parameters, except those in `changed`."""
    current: dict[str, Any] = {name: request.args[name] for name in PARAMETERS if name in request.args}
    return url_for("pages.index", _anchor=section or None, **(current | changed))


blueprint.add_app_template_filter(redact)
blueprint.add_app_template_filter(effects.money)


@blueprint.app_template_filter()
def count(number: int) -> str:
    return f"{number:,}"


@blueprint.app_template_filter()
def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}" + "\N{NO-BREAK SPACE}%"


@blueprint.app_template_filter()
def amount(value: Decimal | float, digits: int = 0) -> str:
    """Format as in JSON, such as 2640.

    An amount with decimals has two digits. `digits` sets their number, so that all amounts of a list have the same.
    """
    return f"{value:.{digits or (2 if value % 1 else 0)}f}"


@blueprint.app_template_filter()
def moment(when: datetime) -> str:
    """Format as 14 Jul 2018, 21:00 UTC."""
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


@blueprint.app_template_filter()
def age(days: float) -> str:
    for unit, length in (("years", 365.25), ("months", 30.44)):
        if days >= 2 * length:
            return f"{days / length:.0f} {unit}"
    return "1 day" if round(days) == 1 else f"{days:.0f} days"
