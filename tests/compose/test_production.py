"""Production mode with its own secrets and an external Postgres, without the S3 stand-in, as in docs/operations.md."""

from collections.abc import Iterator

import pytest
import requests

from tests.compose.project import Project
from tests.compose.test_operations import BLOCKS, execute

ELSEWHERE = """
CREATE ROLE managed LOGIN CREATEROLE PASSWORD 'managed-owner';
CREATE DATABASE managed OWNER managed;
"""
ROLES = {"DATABASE_URL": "managed", "PIPELINE_DATABASE_URL": "managed_pipeline", "API_DATABASE_URL": "managed_api"}
NETWORKS = ("voucher-select-production_data", "voucher-select-production_airflow")  # of those who need Postgres


@pytest.fixture(scope="module")
def production(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project in production mode. Its Postgres is that of `project`, under another name, with other roles."""
    there = Project.copy(tmp_path_factory.mktemp("production"), "voucher-select-production")
    refused_at_first(there)
    execute(there, BLOCKS["Settings"][0])
    urls = {
        name: f"postgresql://{role}:{role.replace('managed', 'word')}@db.example:5432/managed"
        for name, role in ROLES.items()
    }
    urls["DATABASE_URL"] = urls["DATABASE_URL"].replace(":word@", ":managed-owner@")
    more = urls | {
        "VOUCHER_ENV": "production",
        "WITH_POSTGRES": "0",
        "WITH_S3": "0",
        "AWS_ENDPOINT_URL_S3": "",
        "AWS_SECRET_ACCESS_KEY": "ours",
    }
    lines = [(there.folder / ".env").read_text(), *(f"{name}={value}\n" for name, value in more.items())]
    (there.folder / ".env").write_text("".join(lines))
    postgres = project.container("postgres")
    project.run(
        "docker",
        "exec",
        postgres,
        "psql",
        "--quiet",
        "--username=postgres",
        *(f"--command={line}" for line in ELSEWHERE.strip().splitlines()),
    )
    try:
        there.compose("create")
        for network in NETWORKS:
            there.run("docker", "network", "connect", "--alias=db.example", network, postgres)
        with there.timed("production: docker compose up -d --wait"):
            there.compose("up", "-d", "--wait")
        yield there
    finally:
        for network in NETWORKS:
            there.run("docker", "network", "disconnect", "--force", network, postgres, check=False)
        there.compose("down", "--volumes", "--timeout=5", check=False)


def refused_at_first(there: Project) -> None:
    """Check that nothing starts if only VOUCHER_ENV is set, and that the volume of Postgres stays empty."""
    up = there.compose("up", "-d", "--wait", check=False, VOUCHER_ENV="production")
    assert 'service "settings" didn\'t complete successfully' in up
    assert "POSTGRES_PASSWORD" in there.compose("logs", "settings")
    assert not there.compose("ps", "--services").strip()
    look = ("run", "--rm", "--no-deps", "-T", "--entrypoint=ls", "postgres", "-A", "/var/lib/postgresql/data")
    assert "PG_VERSION" not in there.compose(*look)
    there.compose("down", "--volumes")


def test_it_runs_without_a_stand_in(production: Project) -> None:
    """All services except Postgres and S3 start, and readiness reports that no run is published yet."""
    running = set(production.compose("ps", "--services").split())
    assert running == {"airflow-api", "airflow-scheduler", "airflow-dags", "api"}
    health = requests.get(f"{production.api.url}/readyz", timeout=10).json()
    assert health["failing"] == ["published_run", "freshness"]


def test_nothing_is_warned_about(production: Project) -> None:
    """No container warns about a default password."""
    assert "default password" not in production.compose("logs")


def test_airflow_s_first_look_login_is_refused(production: Project) -> None:
    """Airflow rejects the default login, and accepts the configured one."""
    url = f"{production.airflow.url}/auth/token"
    refused = requests.post(url, json={"username": "airflow", "password": "airflow"}, timeout=30)
    assert refused.status_code == 401
    own = dict(line.split("=", 1) for line in (production.folder / ".env").read_text().split())["AIRFLOW_PASSWORD"]
    assert requests.post(url, json={"username": "airflow", "password": own}, timeout=30).ok
