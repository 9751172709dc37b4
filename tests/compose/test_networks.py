"""Which container can connect to which other one."""

from collections.abc import Callable

import pytest

from tests.compose.project import Project

PORTS = {"postgres": 5432, "s3": 9000, "airflow-api": 8080, "airflow-scheduler": 8974}
NEEDED = (
    *(("api", "postgres"), ("airflow-scheduler", "s3"), ("airflow-scheduler", "postgres")),
    *(("airflow-scheduler", "airflow-api"), ("airflow-dags", "airflow-api"), ("notebook", "s3")),
)
FORBIDDEN = (
    *(("api", "s3"), ("api", "airflow-scheduler"), ("notebook", "postgres"), ("notebook", "airflow-api")),
    *(("s3", "postgres"), ("airflow-api", "s3")),
)
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close(); print('connected')"
NO_WAY = ("gaierror", "TimeoutError", "No route to host", "Network is unreachable")


@pytest.fixture
def connects(project: Project) -> Callable[[str, str, int], bool]:
    """Return a function that says whether a process in a service's container can connect to a host."""

    def connects(service: str, host: str, port: int) -> bool:
        run = ("exec", "-T", service, "python")
        if service == "notebook":  # a container of its own, in the same networks
            run = ("run", "--rm", "--no-deps", "-T", "--entrypoint=python", service)
        said = project.compose(*run, "-c", CONNECT, host, str(port), check=False)
        assert "connected" in said or any(word in said for word in NO_WAY), said
        return "connected" in said

    return connects


@pytest.mark.parametrize(("service", "other"), NEEDED)
def test_what_a_container_needs_it_reaches(connects: Callable[[str, str, int], bool], service: str, other: str) -> None:
    """A container connects to those that it needs."""
    assert connects(service, other, PORTS[other])


@pytest.mark.parametrize(("service", "other"), FORBIDDEN)
def test_other_containers_are_out_of_reach(
    project: Project, connects: Callable[[str, str, int], bool], service: str, other: str
) -> None:
    """A container can't connect to those that it does not need, neither by name nor by address."""
    networks = project.state(other)["NetworkSettings"]["Networks"].values()
    for host in (other, *(network["IPAddress"] for network in networks)):
        assert not connects(service, host, PORTS[other]), host
