"""The API on a read replica: API_DATABASE_URL may name a hot standby, which is read-only and follows the primary."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dev.ports import free_port
from dev.processes import as_user, until
from dev.services import postgres_files
from dev.services.postgres import Postgres
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Ask, Tables, start, stop

SOME = 20_000  # rows: 4 pages


@pytest.fixture
def replica(own_postgres: Postgres, tmp_path: Path) -> Iterator[Postgres]:
    """Start a hot standby of `own_postgres`."""
    server = replace(own_postgres, folder=tmp_path / "replica", port=free_port())
    home = postgres_files.prepare_home(server.folder)
    programs = postgres_files.programs(home)
    subprocess.run(
        [
            programs / "pg_basebackup",
            *(f"--dbname={own_postgres.admin_url()}", f"--pgdata={home / 'data'}"),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        ],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        cwd=home,
        check=True,
        **as_user(postgres_files.account()),
    )
    server.processes.start(
        "postgres",
        [
            *(programs / "postgres", "-D", home / "data", "-p", str(server.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        ],
        {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
        user=postgres_files.account(),
        cwd=home,
    )
    try:
        server.processes.wait(["postgres"], server.healthy)
        yield server
    finally:
        server.stop()
        server.remove()


def test_the_api_reads_from_a_replica(own_postgres: Postgres, replica: Postgres) -> None:
    """The API loads new runs from a replica, serves rows until they are dropped, and answers while it is down."""
    tables = Tables(own_postgres.url())
    app = start(replica.url())
    ask = Ask(app.test_client())
    try:
        assert replica.execute("SELECT WHERE pg_is_in_recovery()")
        assert ask().status_code == 503
        loaded = CleanedRows.published(tables)
        loaded.generate(SOME)
        assert until(lambda: ask().status_code == 200, 10), ask().text
        assert ask.amount() == 1000
        assert ask.client.get("/readyz").json["status"] == "ok"
        assert until(lambda: ask.client.get("/assignments.csv").text.count("\n") == 1 + SOME, 10)
        for path in ("/", "/segments", "/rules", f"/runs/{RUN}"):
            assert ask.client.get(path).status_code == 200, path

        tables.publish("b" * 16, kinds={"frequent_segment": ("total_orders", [("0+", 0, None, 7)])})
        assert until(lambda: ask.amount() == 7, 10)
        loaded.execute("SELECT voucher.drop_partition(%(run)s)")
        assert until(lambda: ask.client.get(f"/assignments.csv?run={RUN}").status_code == 410, 10)
        replica.stop()
        assert until(lambda: ask.client.get("/readyz").json["status"] == "degraded", 10)
        assert ask.amount() == 7
    finally:
        stop(app)
