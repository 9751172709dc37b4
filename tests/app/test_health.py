"""What a probe is told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

Publish = Callable[..., None]


def test_livez_says_only_that_the_process_lives(client: FlaskClient) -> None:
    """It asks nothing of anybody."""
    assert (client.get("/livez").status_code, client.get("/livez").json) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/readyz", "/health"])
def test_readiness_needs_a_run_in_memory(publish: Publish, client: FlaskClient, path: str) -> None:
    """503 before the first publication, 200 after, and both say what is ok and what fails."""
    before = client.get(path)
    assert (before.status_code, before.json["status"], before.json["ok"]) == (503, "failing", ["database"])
    assert before.json["failing"] == ["published_run", "freshness"]
    publish()
    after = client.get(path)
    assert (after.status_code, after.json["status"], after.json["failing"]) == (200, "ok", [])
    assert after.json["run_id"] == "a" * 16


def test_a_run_that_nobody_checked_for_long_is_not_fresh(publish: Publish, client: FlaskClient) -> None:
    """It still answers, so this is degraded and no 503."""
    publish(checked_at=datetime.now(UTC) - timedelta(hours=37))
    response = client.get("/readyz")
    assert (response.status_code, response.json["status"], response.json["failing"]) == (200, "degraded", ["freshness"])
