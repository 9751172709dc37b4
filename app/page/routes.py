"""GET /: what each segment gets and how sure that is, a customer to try, what was dropped, and the runs.

All of it stands in the page as it is served. `static/page.js` asks for it again with the ETag that it has, and gets a
304 until the page would say something else: a run was published, or the service's health has changed.
"""

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for

from app.page import history, overview
from app.published.database import DatabaseAwayError
from app.published.refresher import Published
from app.published.snapshot import Snapshot, UnknownCountryError
from app.settings import Settings
from app.web.health import Health, check_health
from shared.addresses import redact

# Scripts, styles, images and forms from here alone, and none of them inline.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
PLACE = ("country", *overview.FORM, "old", "new")  # what the address says of what is looked at

blueprint = Blueprint("pages", __name__)


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
        status, told = _told(run) if run and run.countries else (HTTPStatus.OK, {})
        told |= {"run": run, "health": health, "settings": settings, "state": state, "happened": published.happened}
        response = make_response(render_template("index.html", **told), status)
    response.set_etag(state, weak=True)
    return response


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    return current_app.send_static_file("favicon.svg")


@blueprint.after_request
def stay_here(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _state(health: Health, now: datetime) -> str:
    """Differs when the page would say something else: ages are told in days, and recency counts up to today."""
    told = health.run_id, health.published_at, health.checked_at, health.failing, health.version, now.date()
    return sha256(repr(told).encode()).hexdigest()[:16]


def _told(run: Snapshot) -> tuple[HTTPStatus, dict[str, Any]]:
    """Status, and what the templates show of a run."""
    try:
        country = overview.country(run, request.args.get("country", ""))
    except UnknownCountryError as error:
        return HTTPStatus.NOT_FOUND, {"unknown": error}
    trial = overview.trial(run, country, request.args)
    return HTTPStatus.OK, {"country": country, "trial": trial, **_told_by_postgres(run, country)}


def _told_by_postgres(run: Snapshot, country: str) -> dict[str, Any]:
    """Nothing while it is away."""
    try:
        dropped, publications = history.dropped(run, country), history.publications()
        newest = publications[0] if publications else None
        old = request.args.get("old") or (newest and newest.previous_run_id)
        new = request.args.get("new") or (newest and newest.run_id)
        changes = history.compare(old, new) if old and new else None
    except DatabaseAwayError:
        return {}
    return {"dropped": dropped, "publications": publications, "old": old, "new": new, "changes": changes}


@blueprint.app_template_global()
def here(section: str = "", **changed: str) -> str:
    """The page's address, with what differs from where one is."""
    place: dict[str, Any] = {name: request.args[name] for name in PLACE if name in request.args}
    return url_for("pages.index", _anchor=section or None, **(place | changed))


blueprint.add_app_template_filter(redact)


@blueprint.app_template_filter()
def count(number: int) -> str:
    return f"{number:,}"


@blueprint.app_template_filter()
def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}" + "\N{NO-BREAK SPACE}%"


@blueprint.app_template_filter()
def amount(value: Decimal | float, digits: int = 0) -> str:
    """As JSON has it, 2640; with two digits behind the point where it, or what it stands below, has some."""
    return f"{value:.{digits or (2 if value % 1 else 0)}f}"


@blueprint.app_template_filter()
def moment(when: datetime) -> str:
    """Like 14 Jul 2018, 21:00 UTC."""
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


@blueprint.app_template_filter()
def age(days: float) -> str:
    for unit, length in (("years", 365.25), ("months", 30.44)):
        if days >= 2 * length:
            return f"{days / length:.0f} {unit}"
    return "1 day" if round(days) == 1 else f"{days:.0f} days"
