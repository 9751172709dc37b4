"""The metrics for Prometheus, which agree with `/readyz`. For the request counts, see test_counts.py."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.app.conftest import DATA_TO, Tables, start, stop

Publish = Callable[..., None]

COUNTS = {"voucher_requests": "counter", "voucher_request_seconds": "histogram"}
UNPUBLISHED = {
    "voucher_fresh": 0,
    "voucher_max_age_seconds": 36 * 3600,
    "voucher_database_up": 1,
    "voucher_notices_undelivered": 0,
}
CHECKS = ("database", "freshness", "log", "metrics", "published_run", "schema_version")


def samples(client: FlaskClient) -> dict[str, float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    told = [family for family in families if family.name not in {*COUNTS, "voucher_ready"}]
    return {sample.name: sample.value for family in told for sample in family.samples}


def checks(client: FlaskClient) -> dict[str, float]:
    """Return `voucher_ready` by check."""
    families = {each.name: each for each in text_string_to_metric_families(client.get("/metrics").text)}
    return {sample.labels["check"]: sample.value for sample in families["voucher_ready"].samples}


def test_metrics_are_prometheus_text(publish: Publish, client: FlaskClient) -> None:
    """Every metric has the app's prefix and a help text, and there are no `_created` samples."""
    publish()
    response = client.get("/metrics")
    assert (response.status_code, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    for family in text_string_to_metric_families(response.text):
        assert family.name.startswith("voucher_")
        assert not family.name.endswith("_created")
        assert family.type == COUNTS.get(family.name, "gauge")
        assert family.documentation
        assert family.name in COUNTS or len(family.samples) == (len(CHECKS) if family.name == "voucher_ready" else 1)


def test_metrics_say_when_what_was_published(publish: Publish, client: FlaskClient) -> None:
    """Metrics have the times of publication, check and data in seconds since the epoch, and the run as a label."""
    checked_at = datetime.now(UTC) - timedelta(hours=1)
    publish(checked_at=checked_at)
    found = samples(client)
    published = found.pop("voucher_published_timestamp_seconds")
    assert published == pytest.approx(datetime.now(UTC).timestamp(), abs=60)
    assert found == {
        "voucher_published_run_info": 1,
        "voucher_fresh": 1,
        "voucher_max_age_seconds": 36 * 3600,
        "voucher_checked_timestamp_seconds": checked_at.timestamp(),
        "voucher_data_to_timestamp_seconds": DATA_TO.timestamp(),
        "voucher_database_up": 1,
        "voucher_sample": 0,
        "voucher_notices_undelivered": 0,
    }
    assert checks(client) == dict.fromkeys(CHECKS, 1)
    assert f'voucher_published_run_info{{run_id="{"a" * 16}"}} 1' in client.get("/metrics").text


@pytest.mark.parametrize(("minutes", "fresh"), [(59, True), (61, False)])
def test_metrics_and_readiness_agree(database: str, tables: Tables, minutes: int, fresh: bool) -> None:
    """`voucher_fresh` agrees with readiness on both sides of a limit of one hour."""
    tables.publish(checked_at=datetime.now(UTC) - timedelta(minutes=minutes))
    app = start(database, max_age_hours=1)
    client = app.test_client()
    try:
        assert samples(client)["voucher_fresh"] == fresh
        assert ("freshness" in client.get("/readyz").json["ok"]) == fresh
        assert checks(client) == dict.fromkeys(CHECKS, 1) | {"freshness": fresh}
        assert samples(client)["voucher_max_age_seconds"] == 3600
    finally:
        stop(app)


def test_notices_that_were_not_accepted_are_counted(publish: Publish, database: str, client: FlaskClient) -> None:
    """A notice counts if it was tried in vain, for three days: not before its first attempt, nor once it is accepted."""
    publish()
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO voucher.notice (event, run_id, at, sent_at, error) VALUES
            ('published', %(run)s, now(), NULL, 'it answered 500'), ('rolled_back', %(run)s, now(), now(), NULL),
            ('refused', %(run)s, now(), NULL, NULL), ('refused', %(run)s, now() - interval '73 hours', NULL, 'down')""",
            {"run": "a" * 16},
        )
    client.application.extensions["published"].refresh()
    assert samples(client)["voucher_notices_undelivered"] == 1


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE voucher.notice; UPDATE voucher.alembic_version SET version_num = '0007'",
        "REVOKE SELECT ON voucher.notice FROM voucher_api",
    ],
    ids=["the version before", "another's rights"],
)
def test_notices_that_cannot_be_read_have_no_count(
    publish: Publish, database: str, client: FlaskClient, change: str
) -> None:
    """If the tables have no notices, or the API may not read them, it answers as usual, without this gauge."""
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(change)
    publish()
    assert client.get("/readyz").json["status"] == "ok"
    assert "voucher_notices_undelivered" not in samples(client)


def test_nothing_published_is_not_fresh(client: FlaskClient) -> None:
    """Unknown values have no sample, rather than a 0 that reads as 1970."""
    assert samples(client) == UNPUBLISHED
    assert checks(client) == dict.fromkeys(CHECKS, 1) | {"freshness": 0, "published_run": 0}
