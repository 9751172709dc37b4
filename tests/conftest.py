"""Fixtures for all tests: databases on a real Postgres, buckets on an S3 server, and the sample.

No test reads the environment of a running stack: `scrub` removes it before any test module is imported.
"""

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright

from dev.ports import free_port
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from proofs.support.environment import API, PIPELINE, ROLES_PASSWORD, ROOT, as_role, migrate, scrub

__all__ = ["API", "PIPELINE", "ROLES_PASSWORD", "ROOT", "as_role", "migrate"]

scrub()

# Fixtures that start a server or create the whole sample. A test with one of them is not quick.
SLOW = {"postgres", "own_postgres", "server", "s3", "index", "cluster", "browser", "airflow_home", "processes"}
SLOW |= {"sample_file"}
MEMORY, ROOM = Path("/dev/shm"), 2 << 30  # bytes; the databases of two workers took 0.4 GB
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Each file runs on one worker. These files take longest, so they start first.
FIRST = (
    *("browser/test_page", "docs/test_readme", "small_proofs/test_proofs", "small_proofs/test_service"),
    *("end_to_end/test_approval", "end_to_end/test_assets"),
    *("end_to_end/test_switch_on", "dev/test_bench", "pipeline/test_dag", "docs/test_notebooks", "dev/test_stack"),
    *("pipeline/workbench/test_bench", "pipeline/audits/test_audit", "pipeline/publish/test_rollback"),
    *("pipeline/workbench/test_backtest", "end_to_end/test_secrets"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tests, and put the longest files first."""
    place = {f"tests/{name}.py": number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))
    for item in items:
        if not SLOW & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker("long"):
            item.add_marker("quick")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield a Postgres server for the session, whose files are in memory where there is room: there, a database is
    copied in a third of the time.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM
    words = secrets.token_hex(8), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="voucher-tests-", dir=MEMORY if roomy else None) as folder:
        Path(folder).chmod(0o755)  # for the server's account
        with Postgres(Path(folder), free_port(), *words, durable=False).running() as server:
            yield server


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """Return the name of a migrated database to copy."""
    postgres.create("template")
    migrate(postgres.url("template"))
    return "template"


@pytest.fixture
def database(postgres: Postgres, template: str) -> Iterator[str]:
    """Yield the owner's URL of a migrated, empty database for one test."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.create(name, template)
    yield postgres.url(name)
    postgres.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def pipeline_database(database: str) -> str:
    """Return the URL of the same database for the pipeline's role."""
    return as_role(database, PIPELINE)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Yield an S3 server for the session; `endpoint` is its address."""
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
        """Store a file or bytes. Return the s3:// address."""
        return self.server.put(self.name, key, content)


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Return a new bucket. The environment points boto3 to its server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = f"test-{secrets.token_hex(6)}"
    s3.create(name)
    return Bucket(s3, name)


@pytest.fixture
def real_data() -> Path:
    """Return the path of the real history. Skip the test on machines without it."""
    folder = os.environ.get("VOUCHER_REAL_DATA")
    if not folder:
        pytest.skip("VOUCHER_REAL_DATA is not set: the folder that holds data.parquet.gzip, the real history")
    path = (ROOT / folder / "data.parquet.gzip").resolve()
    if not path.is_file():
        pytest.fail(f"VOUCHER_REAL_DATA is set, but there is no {path}")
    return path


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the path of the synthetic history, which is written once for all workers of the session."""
    folder = tmp_path_factory.getbasetemp()
    path = (folder if worker_id == "master" else folder.parent) / "history.parquet"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            subprocess.run([sys.executable, "-m", "sample", path], cwd=ROOT, check=True)
    return path


def missing(what: str) -> NoReturn:
    """Skip the test, or fail if the browser is required."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {what}", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Yield the system's Chromium. A process can have one only: Playwright's loop runs as long as it is open."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None) or missing(
        f"there is none of {', '.join(CHROMIUM)}: `apt-get install chromium` brings one"
    )
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()
