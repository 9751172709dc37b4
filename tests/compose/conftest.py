"""Fixtures of the compose tests: containers that are started once per session. `make test-compose` runs the tests."""

import os
from collections.abc import Iterator

import pytest

from tests.compose.project import Project

# The tests need a Docker engine and ten minutes. `make test-compose` runs them, `make test` does not.
collect_ignore_glob = [] if os.environ.get("TEST_COMPOSE") else ["test_*.py"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project with default settings except names and ports: built, started, and Voucher_Select switched on."""
    project = Project.copy(tmp_path_factory.mktemp("checkout"))
    try:
        with project.timed("docker compose build"):
            project.compose("build")
        with project.timed("docker compose up -d --wait"):
            project.compose("up", "-d", "--wait")
        with project.timed("switched on until its run has ended"):
            project.switched_on()
        yield project
    finally:
        project.compose("--profile=*", "down", "--volumes", "--timeout=5", check=False)
