"""What every test may ask for: a database of its own on a real Postgres, buckets on a real S3 server, and the sample.

Nothing here reads the environment of a running stack: `scrub` takes it away before any test module is imported.
"""

import fcntl
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dev.ports import free_port
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from proofs.support.environment import API, PIPELINE, ROLES_PASSWORD, ROOT, as_role, migrate, scrub

__all__ = ["API", "PIPELINE", "ROLES_PASSWORD", "ROOT", "as_role", "migrate"]

scrub()

# A test with one of these fixtures starts a server, or makes the whole sample: it is not quick.
SLOW = {"postgres", "own_postgres", "server", "s3", "index", "cluster", "browser", "airflow_home", "processes"}
SLOW |= {"sample_file", "history", "copy"}
# Each file is one worker's: these take longest, so they come first.
FIRST = (
    *("browser/test_page", "docs/test_readme", "small_proofs/test_proofs", "small_proofs/test_service"),
    *("end_to_end/test_switch_on", "dev/test_bench", "pipeline/test_dag", "docs/test_notebooks", "dev/test_stack"),
    *("pipeline/audits/test_audit", "pipeline/publish/test_rollback", "end_to_end/test_secrets"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests, and put the longest files first."""
    place = {f"tests/{name}.py": number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))
    for item in items:
        if not SLOW & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("long"):
            item.add_marker("quick")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of the session's own."""
    words = secrets.token_hex(8), secrets.token_hex(8)
    server = Postgres(tmp_path_factory.mktemp("postgres"), free_port(), *words, durable=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server.remove()


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a migrated database, to be copied."""
    postgres.create("template")
    migrate(postgres.url("template"))
    return "template"


@pytest.fixture
def database(postgres: Postgres, template: str) -> Iterator[str]:
    """The owner's URL of a migrated, empty database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.create(name, template)
    yield postgres.url(name)
    postgres.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def pipeline_database(database: str) -> str:
    """The same database's URL for the pipeline's role."""
    return as_role(database, PIPELINE)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server of the session's own; `endpoint` is its address."""
    server = S3(tmp_path_factory.mktemp("s3"), free_port())
    try:
        server.start(dict(os.environ))
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Bucket:
    server: S3
    name: str

    @property
    def client(self) -> Any:
        return self.server.client()

    def put(self, key: str, content: Path | bytes) -> str:
        """Store a file or bytes; its s3:// address."""
        return self.server.put(self.name, key, content)


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket, and boto3 pointed at its server by the environment."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{secrets.token_hex(6)}"
    s3.create(name)
    return Bucket(s3, name)


@pytest.fixture
def real_data() -> Path:
    """The real history, on machines that have it."""
    folder = os.environ.get("VOUCHER_REAL_DATA")
    if not folder:
        pytest.skip("VOUCHER_REAL_DATA is not set: the folder that holds data.parquet.gzip, the real history")
    path = (ROOT / folder / "data.parquet.gzip").resolve()
    if not path.is_file():
        pytest.fail(f"VOUCHER_REAL_DATA is set, but there is no {path}")
    return path


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The synthetic history, written once for all workers of the session."""
    folder = tmp_path_factory.getbasetemp()
    path = (folder if worker_id == "master" else folder.parent) / "history.parquet"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            subprocess.run([sys.executable, "-m", "sample", path], cwd=ROOT, check=True)
    return path
