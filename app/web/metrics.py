"""GET /metrics: freshness for alerts, and request counts of all workers, in Prometheus' text format."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPMethod
from typing import Any

from flask import Flask, Response, current_app
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from app.published.refresher import Published
from app.web import counts
from app.web.health import check_health

TEXT: ResponseDict = {
    200: {
        "description": "The metrics",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "voucher_fresh 1.0\n"}},
    }
}

OTHER = "other"
METHODS = {method.value for method in HTTPMethod}
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
disable_created_metrics()  # type: ignore[no-untyped-call]  # these double the series, and do not work with several workers

blueprint = APIBlueprint("metrics", __name__, abp_tags=[Tag(name="Health")], abp_responses=TEXT)


@blueprint.get("/metrics", operation_id="getMetrics")
def metrics() -> Response:
    """Freshness and request counts, for Prometheus

    Alert on `voucher_fresh == 0`. Metrics without a value are left out, such as timestamps before the first
    publication.
    """
    return Response(generate_latest(current_app.extensions["metrics"]), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def new_registry(published: Published, max_age_hours: float) -> CollectorRegistry:
    """Return a registry for this app. The library's default registry counts only the worker that answers."""
    registry = CollectorRegistry()
    registry.register(HealthCollector(published, max_age_hours))
    if counts.FOLDER is not None:
        registry.register(counts.SharedCounts())
    return registry


class Requests:
    """Counts each response. Unknown methods and paths count as `other`, so that callers cannot create new series."""

    def __init__(self, app: Flask, registry: CollectorRegistry) -> None:
        # A registry that sums the shared files must not count this worker twice.
        where = registry if counts.FOLDER is None else None
        self._requests = Counter("voucher_requests", "Answered requests.", ["method", "path", "status"], registry=where)
        self._seconds = Histogram(
            "voucher_request_seconds", "Time until the response started.", ["path"], buckets=BUCKETS, registry=where
        )
        self._known = {rule.rule for rule in app.url_map.iter_rules() if not rule.arguments}
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def __call__(self, environ: dict[str, Any], status: int, seconds: float) -> None:
        if not counts.available():
            return
        key = environ["REQUEST_METHOD"], self._path(environ), status
        requests, duration = self._children.get(key) or self._new(*key)
        requests.inc()
        duration.observe(seconds)

    def _path(self, environ: dict[str, Any]) -> str:
        """Return the route of a request: /runs/<run_id>, not the path of a single run."""
        path: str = environ["PATH_INFO"]
        if path in self._known:
            return path
        rule = getattr(environ.get("werkzeug.request"), "url_rule", None)  # set by Flask
        return rule.rule if rule else OTHER

    def _new(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        name = method if method in METHODS else OTHER
        found = self._requests.labels(name, path, status), self._seconds.labels(path)
        if name == method:
            self._children[method, path, status] = found
        return found


class HealthCollector(Collector):
    """Computes the metrics of the published run on request, so that all workers report the same values."""

    def __init__(self, published: Published, max_age_hours: float) -> None:
        self._published = published
        self._max_age_hours = max_age_hours

    def collect(self) -> Iterator[Metric]:
        health = check_health(self._published, self._max_age_hours, datetime.now(UTC))
        run = {"run_id": health.run_id} if health.run_id else None
        yield InfoMetricFamily("voucher_published_run", "The published run.", run)
        for name, documentation, value in (
            ("voucher_fresh", "Whether the source was checked within the maximum age.", "freshness" in health.ok),
            ("voucher_max_age_seconds", "Maximum age of the last check.", health.max_age_hours * 3600),
            ("voucher_checked_timestamp_seconds", "Last check of the source.", _seconds(health.checked_at)),
            ("voucher_published_timestamp_seconds", "Publication of the run.", _seconds(health.published_at)),
            ("voucher_data_to_timestamp_seconds", "Last timestamp of the run's history.", _seconds(health.data_to)),
            ("voucher_database_up", "Whether the last poll of the database succeeded.", "database" in health.ok),
            ("voucher_sample", "Whether the answers come from the synthetic sample, which is invented.", health.sample),
            (
                "voucher_notices_undelivered",
                "Notices of the last three days that their receiver has not accepted.",
                self._published.undelivered,
            ),
        ):
            yield GaugeMetricFamily(name, documentation, value)
        ready = GaugeMetricFamily("voucher_ready", "Whether a check of /readyz passes.", labels=["check"])
        for check in sorted((*health.ok, *health.failing)):
            ready.add_metric([check], check in health.ok)
        yield ready


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
