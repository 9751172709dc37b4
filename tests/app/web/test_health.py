"""Liveness and readiness."""

from collections.abc import Callable
from configparser import ConfigParser
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from flask import Flask
from flask.testing import FlaskClient

from app.published.models import SCHEMA_VERSIONS
from app.web.health import check_health
from dev.services.postgres import Postgres
from tests.app.conftest import DATA_TO, Ask, Tables, start, stop
from tests.conftest import ROOT

CHECKED = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
LIMIT, TICK = timedelta(hours=36), timedelta(microseconds=1)

Publish = Callable[..., None]


def test_livez_says_only_that_the_process_lives(client: FlaskClient) -> None:
    """Liveness is 200 even before the first publication, because it only shows that the process runs."""
    assert (client.get("/livez").status_code, client.get("/livez").json) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/readyz", "/health"])
def test_readiness_needs_a_run_in_memory(publish: Publish, client: FlaskClient, path: str) -> None:
    """Readiness is 503 before the first publication and 200 after it, and lists which checks pass and fail."""
    before = client.get(path)
    assert (before.status_code, before.json["status"]) == (503, "failing")
    assert before.json["ok"] == ["database", "schema_version", "log", "metrics"]
    assert before.json["failing"] == ["published_run", "freshness"]
    publish()
    after = client.get(path)
    assert (after.status_code, after.json["status"], after.json["failing"]) == (200, "ok", [])
    assert after.json["run_id"] == "a" * 16


def test_a_run_that_nobody_checked_for_long_is_not_fresh(publish: Publish, client: FlaskClient) -> None:
    """A stale run still answers, so readiness is 200 with status `degraded`."""
    publish(checked_at=datetime.now(UTC) - timedelta(hours=37))
    response = client.get("/readyz")
    assert (response.status_code, response.json["status"], response.json["failing"]) == (200, "degraded", ["freshness"])


@pytest.mark.parametrize(
    ("age", "failing"), [(LIMIT - TICK, []), (LIMIT, ["freshness"]), (LIMIT + TICK, ["freshness"])]
)
def test_fresh_is_younger_than_the_limit(app: Flask, publish: Publish, age: timedelta, failing: list[str]) -> None:
    """A check exactly as old as the limit is too old."""
    publish(checked_at=CHECKED)
    assert check_health(app.extensions["published"], 36, CHECKED + age).failing == failing


@pytest.mark.parametrize("path", ["/readyz", "/health"])
def test_the_age_of_the_data_is_shown_and_never_a_failure(publish: Publish, client: FlaskClient, path: str) -> None:
    """A run that was checked today is fresh, even if its history ended years ago."""
    publish()
    health = client.get(path).json
    assert (health["status"], health["data_to"]) == ("ok", "2018-07-14T21:00:00Z")
    assert health["data_age_days"] == pytest.approx((datetime.now(UTC) - DATA_TO) / timedelta(days=1), abs=0.1)


@pytest.mark.parametrize(
    ("ago", "days"), [(timedelta(), 0), (timedelta(hours=36), 1.5), (timedelta(days=400, hours=1), 400), (-LIMIT, -1.5)]
)
def test_the_age_of_the_data_is_in_days_and_tenths(app: Flask, publish: Publish, ago: timedelta, days: float) -> None:
    """The age of the data is in days, with one decimal; it is negative if the data ends in the future."""
    publish(data_to=CHECKED - ago)
    assert check_health(app.extensions["published"], 36, CHECKED).data_age_days == days


def test_a_run_without_a_row_has_no_age(publish: Publish, client: FlaskClient) -> None:
    """A run without rows, such as a forced one, has null as data age and does not fail."""
    publish(data_to=None)
    health = client.get("/readyz").json
    assert (health["status"], health["data_to"], health["data_age_days"]) == ("ok", None, None)


def test_nothing_published_has_no_times(client: FlaskClient) -> None:
    """Before the first publication, all times are null, but the limit is shown."""
    health = client.get("/readyz").json
    times = ("run_id", "published_at", "checked_at", "data_to", "data_age_days", "sample")
    assert {health[name] for name in times} == {None}
    assert health["max_age_hours"] == 36


@pytest.mark.parametrize(
    ("synthetic", "sample"),
    [([True], True), ([True, True], True), ([False], False), ([True, False], False), ([], False)],
)
def test_the_synthetic_sample_is_called_one(
    publish: Publish, tables: Tables, client: FlaskClient, synthetic: list[bool], sample: bool
) -> None:
    """Health and /runs mark a run as sample only if all its parts are the built-in sample."""
    publish(synthetic=synthetic)
    assert client.get("/readyz").json["sample"] is sample
    assert client.get("/runs").json["runs"][0]["sample"] is sample
    assert client.get(f"/runs/{'a' * 16}").json["sample"] is sample
    publish("b" * 16, synthetic=[not sample])
    assert client.get("/readyz").json["sample"] is not sample
    assert [run["sample"] for run in client.get("/runs").json["runs"]] == [not sample, sample]


def test_versions_are_shown(publish: Publish, client: FlaskClient) -> None:
    """Readiness shows the version of the app, from setup.cfg, and that of the tables."""
    publish()
    health = client.get("/readyz").json
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert health["version"] == setup["metadata"]["version"]
    assert health["schema_version"] in SCHEMA_VERSIONS


def test_the_app_knows_the_newest_migration() -> None:
    """The app supports the latest migration. After a new one, check the names in app/published/models.py."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "pipeline" / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    assert newest in SCHEMA_VERSIONS, f"add {newest!r} to SCHEMA_VERSIONS in app/published/models.py once its names fit"


@pytest.mark.parametrize(
    ("statement", "version"),
    [
        ("UPDATE voucher.alembic_version SET version_num = 'later'", "later"),
        ("DELETE FROM voucher.alembic_version", None),
        ("INSERT INTO voucher.alembic_version VALUES ('second')", None),
        ("REVOKE SELECT ON voucher.alembic_version FROM voucher_api", None),
        ("DROP TABLE voucher.alembic_version", None),
    ],
)
def test_tables_of_an_unknown_version_degrade(
    database: str, publish: Publish, app: Flask, ask: Ask, statement: str, version: str | None
) -> None:
    """With an unknown version of the tables, new runs are loaded and answered; only `schema_version` fails."""
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
    publish()
    assert ask.amount() == 1000
    health = ask.client.get("/readyz")
    assert (health.status_code, health.json["status"], health.json["schema_version"]) == (200, "degraded", version)
    assert health.json["failing"] == ["schema_version"]


def test_times_are_utc_whatever_the_zone_of_the_database(postgres: Postgres, database: str, tables: Tables) -> None:
    """Times are in UTC in any zone of the database, even the end of the year 9999, which is 10000 in Auckland."""
    postgres.execute("ALTER DATABASE {} SET timezone TO {}", database.rsplit("/", 1)[1], "Pacific/Auckland")
    tables.publish(data_to=datetime.max.replace(tzinfo=UTC), checked_at=CHECKED)
    app = start(database)
    health = app.test_client().get("/readyz").json
    stop(app)
    assert (health["data_to"], health["checked_at"]) == ("9999-12-31T23:59:59.999999Z", "2026-03-01T04:30:00Z")
