"""Reload and graceful shutdown of the API's container under load, as a non-root user without capabilities."""

from collections.abc import Iterator

import pytest

from dev.processes import until
from proofs.support.request_load import Load
from tests.compose.project import Project


@pytest.fixture
def load(project: Project) -> Iterator[Load]:
    """Yield a load on the container itself: the proxy of a published port accepts connections for a stopped one."""
    network = next(iter(project.state("api")["NetworkSettings"]["Networks"].values()))
    with Load(8000, {str(project.api.run_id()): 2640}, 200, host=network["IPAddress"]) as load:
        steady = load.during(2)
        assert steady.requests
        assert not steady.faults
        yield load


def log(project: Project) -> str:
    return project.compose("logs", "--no-log-prefix", "api")


def test_a_reload_loses_no_request(project: Project, load: Load) -> None:
    """A reload replaces each worker, and no request is lost or refused."""
    before = log(project).count("Stopped old worker")
    project.compose("kill", "--signal=HUP", "api")
    assert until(lambda: log(project).count("Stopped old worker") == before + 2, 90, every=1), log(project)[-3000:]
    report = load.during(2)
    assert not report.faults
    assert not report.refused
    assert "refused to gracefully stop" not in log(project)


def test_a_stop_loses_no_request(project: Project, load: Load) -> None:
    """During a graceful shutdown, every accepted request is answered, and the workers exit without being killed."""
    project.compose("stop", "api")
    report = load.report()
    exited = project.run(
        "docker", "inspect", "--format={{.State.ExitCode}}", project.compose("ps", "-aq", "api").strip()
    )
    project.compose("up", "--detach", "--wait", "api")
    assert report.requests
    assert not report.faults
    assert exited.strip() == "0"
    assert "refused to gracefully stop" not in log(project)
