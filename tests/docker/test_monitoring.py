"""The profile monitoring: a real Prometheus on a real API, the alerts, and each query of the dashboard."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from tests.app.conftest import Tables, ask_often, served
from tests.conftest import ROOT, missing

FOLDER = ROOT / "docker" / "prometheus"
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/voucher-select.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']} {each['refId']}": each["expr"] for panel in PANELS for each in panel["targets"]}
VARIABLES = {"$__rate_interval": "5s", "$path": "/voucher"}  # Grafana takes four scrape intervals
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
ALERTS = {rule["alert"]: rule for rule in RULES}

pytestmark = pytest.mark.long  # a real Prometheus scrapes for a quarter of a minute


def program(name: str) -> str:
    return shutil.which(name) or missing(f"{name} is not installed: `apt-get install prometheus` brings it")


@dataclass(frozen=True)
class Prometheus:
    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of a query whose value is a number."""
        found = self.get("query", query=expression)["result"]
        return [sample for sample in found if not math.isnan(float(sample["value"][1]))]

    def firing(self) -> set[str]:
        return {sample["metric"]["alertname"] for sample in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def prometheus(folder: Path, api: str) -> Iterator[Prometheus]:
    """Run Prometheus with the shipped configuration, except that it asks one API, every second, and waits for no alert."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    configuration = yaml.safe_load((folder / "prometheus.yml").read_text())
    configuration["global"] = dict.fromkeys(configuration["global"], "1s")
    (job,) = configuration["scrape_configs"]
    del job["dns_sd_configs"]  # the compose tests have names for it
    job["static_configs"] = [{"targets": [api.removeprefix("http://")], "labels": {"__meta_dns_name": "api"}}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (folder / "alerts.yml").write_text(re.sub(r"for: \w+", "for: 0s", (FOLDER / "alerts.yml").read_text()))
    address = f"127.0.0.1:{free_port()}"
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}")
    with subprocess.Popen((program("prometheus"), *options), cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            running = Prometheus(f"http://{address}")
            assert until(lambda: answers(running), 30), "Prometheus does not answer"
            yield running
        finally:
            process.terminate()


def answers(running: Prometheus) -> bool:
    try:
        ready = requests.get(f"{running.url}/-/ready", timeout=10).ok  # until then, queries get 503
    except requests.ConnectionError:
        return False
    return ready and bool(running.query("up == 1"))


@pytest.fixture(scope="module")
def database(postgres: Postgres, template: str) -> str:
    postgres.create("monitored", template)
    Tables(postgres.url("monitored")).publish()
    return postgres.url("monitored")


@pytest.fixture(scope="module")
def api(database: str) -> Iterator[str]:
    with served(database) as url:
        yield url


@pytest.fixture(scope="module")
def monitored(api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), api) as running:
        yield running


def substituted(query: str) -> str:
    """Return the query as Grafana sends it."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query
    return query


def test_every_query_of_the_dashboard_finds_something(api: str, monitored: Prometheus) -> None:
    """Each query of each panel has at least one sample once the API has answered requests."""
    without = set(QUERIES)

    def all_found() -> bool:
        ask_often(api)
        without.difference_update([name for name in without if monitored.query(substituted(QUERIES[name]))])
        return not without

    assert until(all_found, 30), without


def test_the_paths_of_the_dashboard_are_listed(api: str, monitored: Prometheus) -> None:
    """The dashboard's list of paths contains /voucher, which is selected at first."""
    (variable,) = (each for each in DASHBOARD["templating"]["list"] if each["name"] == "path")
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert asked
    ask_often(api)
    metric, label = asked.groups()

    def listed() -> list[str]:
        return list(monitored.get(f"label/{label}/values", **{"match[]": metric}))

    assert until(lambda: variable["current"]["value"] in listed(), 20), listed()


def test_nothing_fires_while_all_is_well(api: str, monitored: Prometheus) -> None:
    """Every alert is evaluated without an error, and none fires although each has no time to wait."""
    (group,) = monitored.get("rules")["groups"]

    def evaluated() -> bool:
        (group,) = monitored.get("rules")["groups"]
        return all(rule["health"] == "ok" for rule in group["rules"])

    assert until(evaluated, 20), group
    assert {rule["name"] for rule in group["rules"]} == {*ALERTS}
    assert monitored.firing() == set()


@pytest.mark.long
def test_alerts_fire(database: str, tmp_path: Path) -> None:
    """An alert fires if the source was not checked within VOUCHER_MAX_AGE_HOURS, and others once the API is gone."""
    api = served(database, VOUCHER_MAX_AGE_HOURS="0.0001")
    with ExitStack() as stack:
        url = stack.enter_context(api)
        with prometheus(tmp_path, url) as running:
            assert until(lambda: running.firing() == {"VoucherSourceNotChecked"}, 30), running.firing()
            assert running.query(substituted(QUERIES["Firing alerts A"]))[0]["value"][1] == "1"
            state = running.query(QUERIES["Checks of /readyz A"])
            assert [each["metric"]["check"] for each in state if each["value"][1] == "0"] == ["freshness"]
            stack.close()
            assert until(lambda: running.firing() == {"VoucherApiAbsent", "VoucherApiDown"}, 30), running.firing()


def test_the_dashboard_s_panels_are_complete() -> None:
    """Panels have their own ids and places, and ask the data source that is selected."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len({*ids})
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len({*cells}) and max(x for x, _ in cells) < 24
    assert {panel["type"] for panel in PANELS} == {"stat", "timeseries"}
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in PANELS)
    sources = [each["datasource"] for panel in PANELS for each in (panel, *panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
