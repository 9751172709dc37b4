"""GET /metrics: what an alert on freshness needs, in Prometheus' text format, read from memory."""

from collections.abc import Iterator
from datetime import UTC, datetime

from flask import Response, current_app
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from app import docs
from app.health import look
from app.published import Published

TEXT: ResponseDict = {
    200: {
        "description": "The metrics",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "voucher_fresh 1.0\n"}},
    }
}

blueprint = APIBlueprint("metrics", __name__, abp_tags=[Tag(name="Health")], abp_responses=TEXT | docs.INTERNAL_ERROR)


@blueprint.get("/metrics")
def metrics() -> Response:
    """What `/readyz` says, for Prometheus

    Alert on `voucher_fresh == 0`. What is not known has no sample: when nothing is published, no timestamps.
    """
    return Response(generate_latest(current_app.extensions["metrics"]), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def new_registry(published: Published, max_age_hours: float) -> CollectorRegistry:
    """A registry of the app's own: the library's counts the process that happened to answer, one of several workers.

    What is to be summed over the workers comes in as one more collector, the library's MultiProcessCollector.
    """
    registry = CollectorRegistry()
    registry.register(HealthCollector(published, max_age_hours))
    return registry


class HealthCollector(Collector):
    """Made of the published run when asked for, so each worker tells the same."""

    def __init__(self, published: Published, max_age_hours: float) -> None:
        self._published = published
        self._max_age_hours = max_age_hours

    def collect(self) -> Iterator[Metric]:
        health = look(self._published, self._max_age_hours, datetime.now(UTC))
        run = {"run_id": health.run_id} if health.run_id else None
        yield InfoMetricFamily("voucher_published_run", "The run that is answered from.", run)
        for name, documentation, value in (
            ("voucher_fresh", "Whether the source was checked within the maximum age.", "freshness" in health.ok),
            ("voucher_max_age_seconds", "Maximum age of the last check.", health.max_age_hours * 3600),
            ("voucher_checked_timestamp_seconds", "Last check of the source.", _seconds(health.checked_at)),
            ("voucher_published_timestamp_seconds", "Publication of the run.", _seconds(health.published_at)),
            ("voucher_data_to_timestamp_seconds", "Last timestamp of the run's history.", _seconds(health.data_to)),
            ("voucher_database_up", "Whether the database answered of late.", "database" in health.ok),
        ):
            yield GaugeMetricFamily(name, documentation, value)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
