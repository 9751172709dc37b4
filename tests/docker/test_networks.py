"""Which services of docker-compose.yml share a network. tests/compose connects from inside the containers."""

from itertools import combinations

import pytest
import yaml

from tests.docker.test_docker import COMPOSE, SERVICES

NETWORKS = yaml.safe_load(COMPOSE)["networks"]
OF = {name: {*service.get("networks", [])} for name, service in SERVICES.items()}
FRONT = {"api", "api-2", "airflow-api", "proxy", "prometheus", "grafana"}  # what browsers and Prometheus reach
WITH = {
    "postgres": {"api", "api-2", "migrate", "airflow-setup", "airflow-api", "airflow-scheduler", "airflow-dags"},
    "s3": {"airflow-scheduler", "notebook"},
    "notebook": {"s3", "airflow-scheduler"},
    "proxy": FRONT - {"proxy"},
    "grafana": FRONT - {"grafana"},
    "api": {*FRONT - {"api"}, "migrate", "postgres"},
}


@pytest.mark.parametrize("name", WITH)
def test_a_service_shares_a_network_with_those_it_needs_only(name: str) -> None:
    """No further service can reach the database, the history, the notebook, the proxy or the API."""
    assert {other for other, networks in OF.items() if other != name and networks & OF[name]} == WITH[name]


def test_every_service_is_in_a_network_of_the_file() -> None:
    """No service is in Compose's default network, which would connect it to all others there."""
    without = {name for name, networks in OF.items() if not networks}
    assert without == {name for name, service in SERVICES.items() if service.get("network_mode") == "none"}
    assert NETWORKS.keys() == set().union(*OF.values())


def test_whoever_waits_for_another_one_can_reach_it() -> None:
    """A service reaches the running services that it waits for."""
    for name, other in combinations(SERVICES, 2):
        for waiting, needed in ((name, other), (other, name)):
            condition = SERVICES[waiting].get("depends_on", {}).get(needed, {}).get("condition")
            assert condition != "service_healthy" or OF[waiting] & OF[needed], (waiting, needed)


def test_services_outside_can_be_reached() -> None:
    """No network is internal, so that a managed Postgres, a bucket and a receiver of notices can be anywhere."""
    assert not any((options or {}).get("internal") for options in NETWORKS.values())
