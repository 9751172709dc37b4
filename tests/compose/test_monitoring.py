"""The profile monitoring, without Grafana, whose image can be replaced by nothing: see tests/compose/stand_ins.py."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from dev.processes import until
from tests.compose.project import Project
from tests.compose.stand_ins import pull_or_build
from tests.compose.test_operations import BLOCKS, execute

Query = Callable[[str], list[dict[str, Any]]]
STALE = "VOUCHER_MAX_AGE_HOURS=0.001\n"  # four seconds


@pytest.fixture(scope="module")
def query(project: Project) -> Iterator[Query]:
    """Yield a function that asks Prometheus, which is started as docs/operations.md says. Afterwards it is removed."""
    pull_or_build(project.environment, "prom/prometheus")
    start, ask = BLOCKS["Monitoring"][0].splitlines()
    execute(project, start)
    (network,) = project.state("prometheus")["NetworkSettings"]["Networks"].values()
    url = f"http://{network['IPAddress']}:9090/api/v1/query"

    def query(expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(url, {"query": expression}, timeout=10).json()["data"]["result"]
        return found

    assert until(lambda: 'check="published_run"' in execute(project, ask), 60)
    yield query
    project.compose("--profile=monitoring", "rm", "--stop", "--force", "prometheus")


def test_prometheus_finds_the_apis_that_there_are(project: Project, query: Query) -> None:
    """The API is scraped under its name, and a second one that is not started is no target and no error."""
    assert until(lambda: [each["value"][1] for each in query("up")] == ["1"], 60), query("up")
    assert query("up")[0]["metric"] == {"__name__": "up", "instance": "api", "job": "voucher-select"}
    assert until(lambda: bool(query('voucher_requests_total{path="/livez"}')), 60)
    assert "level=error" not in project.compose("logs", "prometheus")


def test_prometheus_is_confined(project: Project, query: Query) -> None:
    """Prometheus has no published port, no privileges and a read-only root file system; it keeps its data in a volume."""
    state = project.state("prometheus")
    assert not any(state["NetworkSettings"]["Ports"].values())
    assert state["HostConfig"]["ReadonlyRootfs"] and state["HostConfig"]["CapDrop"] == ["ALL"]
    user, capabilities = project.compose(
        "exec", "-T", "prometheus", "sh", "-c", "id -u; grep CapEff /proc/1/status"
    ).splitlines()
    assert int(user) > 0 and int(capabilities.split()[1], 16) == 0
    count = query("count(count_over_time(up[1h]))")
    project.compose("restart", "prometheus")
    assert until(lambda: project.healthy("prometheus"), 60)
    assert query("count(count_over_time(up[1h]))") and count


def test_an_unchecked_source_raises_its_alert(project: Project, query: Query) -> None:
    """If the source is not checked within VOUCHER_MAX_AGE_HOURS, its alert waits for its five minutes, and only it."""
    env = project.folder / ".env"
    before = env.read_text() if env.exists() else ""
    pending = 'ALERTS{alertname!="VoucherSample"}'  # the first look serves it
    try:
        env.write_text(before + STALE)
        project.compose("up", "-d", "--wait", "api")
        assert until(lambda: bool(query(pending)), 60)
        (alert,) = query(pending)
        assert alert["metric"] == {
            "__name__": "ALERTS", "alertname": "VoucherSourceNotChecked", "alertstate": "pending", "severity": "critical",
        }  # fmt: skip
    finally:
        env.write_text(before)
        project.compose("up", "-d", "--wait", "api")
    assert until(lambda: not query(pending), 60), query(pending)


def test_production_refuses_grafana_s_password(project: Project) -> None:
    """In production mode, Grafana does not start with the default password."""
    check = ("run", "--rm", "--no-deps", "-T", "grafana-settings")
    assert "GRAFANA_PASSWORD" in project.compose(*check, check=False, VOUCHER_ENV="production")
    assert project.compose(*check, VOUCHER_ENV="production", GRAFANA_PASSWORD="ours").strip() == ""
