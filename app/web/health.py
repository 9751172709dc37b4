"""Liveness and readiness. Both are read from memory, so a probe never waits for the database."""

from configparser import ConfigParser
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Literal

from flask import Response, current_app
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from app.published.models import SCHEMA_VERSIONS
from app.published.refresher import Published
from app.settings import Settings
from app.web import counts, request_log


class Life(BaseModel):
    status: Literal["ok"] = "ok"


class Health(BaseModel):
    """`degraded` still answers; `failing` cannot, because no run is in memory."""

    status: Literal["ok", "degraded", "failing"]
    ok: list[str]
    failing: list[str] = Field(
        description="`log` while log lines are lost, because the disk is full or nobody reads the log; `metrics` "
        "if a worker has no disk space for its request counts."
    )
    run_id: str | None
    published_at: datetime | None
    checked_at: datetime | None = Field(description="When the run was last compared with its source.")
    max_age_hours: float = Field(description="`freshness` fails when `checked_at` is this old.")
    data_to: datetime | None = Field(description="The last timestamp of the run's history.")
    data_age_days: float | None = Field(description="Days since `data_to`. This is only reported and never fails.")
    sample: bool | None = Field(
        description="Whether the answers come from the built-in synthetic sample, which is invented data."
    )
    version: str = Field(description="Version of the API.")
    schema_version: str | None = Field(
        description="Version of the tables. `schema_version` fails if this API does not support it."
    )


def _version() -> str:
    """Return the version of the installed package, or of the checkout if it is not installed."""
    try:
        return metadata.version("voucher-select")
    except metadata.PackageNotFoundError:
        setup = ConfigParser()
        setup.read(Path(__file__).parents[2] / "setup.cfg")
        return setup.get("metadata", "version", fallback="unknown")


VERSION = _version()


blueprint = APIBlueprint("health", __name__, abp_tags=[Tag(name="Health")])


@blueprint.get("/livez", operation_id="getLiveness", responses={200: Life})
def livez() -> Response:
    """Whether the process is running"""
    return _json(Life())


@blueprint.get("/readyz", operation_id="getReadiness", responses={200: Health, 503: Health})
@blueprint.get("/health", operation_id="getHealth", responses={200: Health, 503: Health})
def readyz() -> Response:
    """Whether vouchers are answered from a fresh run

    The status is 503 only if no run is in memory. `/health` is the same.
    """
    published: Published = current_app.extensions["published"]
    settings: Settings = current_app.extensions["settings"]
    health = check_health(published, settings.max_age_hours, datetime.now(UTC))
    return _json(health, 503 if health.status == "failing" else 200)


def check_health(published: Published, max_age_hours: float, now: datetime) -> Health:
    """Return the state of each check. `/readyz`, `metrics` and the page use it."""
    run = published.snapshot
    checks = {
        "published_run": run is not None,
        "database": published.database_answers,
        "freshness": run is not None and (now - run.checked_at) / timedelta(hours=1) < max_age_hours,
        "schema_version": published.schema_version in SCHEMA_VERSIONS,
        "log": request_log.stderr.lost == 0,
        "metrics": counts.available(),
    }
    return Health(
        status="failing" if run is None else "ok" if all(checks.values()) else "degraded",
        ok=[name for name, passed in checks.items() if passed],
        failing=[name for name, passed in checks.items() if not passed],
        run_id=run.run_id if run else None,
        published_at=run.published_at if run else None,
        checked_at=run.checked_at if run else None,
        max_age_hours=max_age_hours,
        data_to=run.data_to if run else None,
        data_age_days=run.data_age_days(now) if run else None,
        sample=run.sample if run else None,
        version=VERSION,
        schema_version=published.schema_version,
    )


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(f"{body.model_dump_json()}\n", status, mimetype="application/json")
