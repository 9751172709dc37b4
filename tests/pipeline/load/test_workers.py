"""Loading parts in this process, without importing Dask, or on a cluster that receives no secret."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from pipeline import PipelineError, run
from pipeline.evaluate import engine
from pipeline.load import steps, tables
from pipeline.load.workers import ClusterUnavailable
from pipeline.publish import runs
from pipeline.publish.database import Database
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.settings import Settings
from pipeline.source.s3 import SourceError
from proofs.parts.dask import Cluster
from tests.conftest import PIPELINE, ROLES_PASSWORD, ROOT, as_role
from tests.pipeline.conftest import history

Query = Callable[..., list[tuple[Any, ...]]]
Written = Callable[..., Path]
Make = Callable[..., Settings]

WAITING = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND NOT granted"""
IMPORTED = """
import sys
from pipeline.__main__ import main
assert main(["run", "--source", sys.argv[1]]) == 0
print("of Dask:", [name for name in sys.modules if name.partition(".")[0] in {"dask", "distributed"}])
"""


@pytest.fixture(scope="module")
def shared(postgres: Postgres, template: str) -> Iterator[str]:
    """Yield the URL, for the pipeline's role, of the database that the cluster's worker uses."""
    postgres.create("crew", template)
    yield as_role(postgres.url("crew"), PIPELINE)
    postgres.execute("DROP DATABASE crew WITH (FORCE)")


@pytest.fixture(scope="module")
def cluster(shared: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster with a scheduler and one worker."""
    with Cluster.open(tmp_path_factory.mktemp("cluster"), {"PIPELINE_DATABASE_URL": shared}, workers=1) as cluster:
        yield cluster


@contextmanager
def overheard(port: int) -> Iterator[tuple[int, bytearray]]:
    """Forward a new port to this one; yield the new port and the bytes that pass in either direction."""
    passed = bytearray()

    def pump(source: socket.socket, to: socket.socket) -> None:
        while content := source.recv(1 << 16):
            passed.extend(content)
            to.sendall(content)
        to.shutdown(socket.SHUT_WR)

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", port))
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], passed
        listener.shutdown(socket.SHUT_RDWR)


def job(config: Settings, run_id: str, **others: Any) -> steps.Job:
    """Return the job that a worker receives, with these changes."""
    planned = runs.get(Database(config.database_url), run_id)
    rules, segments = RuleBook.load(), SegmentBook.load()
    told = {"run": planned, "rules": rules, "segments": segments, "anonymous": False, "rows_uri": ""}
    return steps.Job(**(told | others))


def test_nothing_of_dask_is_imported_where_it_is_not_asked_for(written: Written, pipeline_database: str) -> None:
    """A run without VOUCHER_DASK doesn't import Dask, so it works where Dask isn't installed."""
    path = written(history({}))
    environ = {"PYTHONPATH": str(ROOT), "PIPELINE_DATABASE_URL": pipeline_database, "USER": "test"}
    ended = subprocess.run([sys.executable, "-c", IMPORTED, path], env=environ, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1:] == ["of Dask: []"], ended.stderr


def test_a_scheduler_that_is_not_there_may_come_back(
    settings: Make, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for a scheduler that doesn't answer names the setting and is retryable."""
    monkeypatch.setattr("pipeline.load.workers.TIMEOUT", 0.5)
    with pytest.raises(ClusterUnavailable, match=r"no Dask scheduler answers at .*; check VOUCHER_DASK") as error:
        run.plan(settings(written(history({})), dask=f"tcp://127.0.0.1:{free_port()}"))
    assert error.value.retryable


def test_a_scheduler_without_a_worker_says_how_one_is_started(
    settings: Make, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for a scheduler without workers says how to start one and is retryable."""
    with Cluster.open(tmp_path, {}, workers=0) as cluster:
        monkeypatch.setattr("pipeline.load.workers.TIMEOUT", 0.5)
        wanted = f"the Dask scheduler at {cluster.address} has no worker; `dask worker {cluster.address}` starts one"
        with pytest.raises(ClusterUnavailable, match=wanted) as error:
            run.plan(settings(written(history({})), dask=cluster.address))
    assert error.value.retryable


@pytest.mark.long
def test_a_scheduler_that_ends_in_mid_run_may_come_back(
    settings: Make, written: Written, query: Query, database: str, pipeline_database: str, tmp_path: Path
) -> None:
    """A run that loses its scheduler ends with a retryable error, and the next run completes."""
    path = written(history({}))
    with (
        ThreadPoolExecutor(1) as pool,
        closing(psycopg2.connect(database)) as connection,
        Cluster.open(tmp_path, {"PIPELINE_DATABASE_URL": pipeline_database}, workers=1) as cluster,
    ):
        connection.cursor().execute("LOCK TABLE voucher.loaded_part IN SHARE MODE")
        running = pool.submit(run.run, settings(path, dask=cluster.address), "test")
        assert until(lambda: query(WAITING) == [(1,)], 20, every=0.01)
        cluster.processes.stop("scheduler", first=signal.SIGKILL)
        with pytest.raises(
            ClusterUnavailable, match=f"the Dask scheduler at {cluster.address} was lost; run again"
        ) as error:
            running.result(timeout=60)
        connection.rollback()
    assert error.value.retryable
    run.run(settings(path), "test")
    assert query("SELECT count(*) FROM voucher.assignment") == [(1,)]


def test_what_is_wrong_with_a_part_comes_back_from_the_worker(
    cluster: Cluster, shared: str, written: Written, tmp_path: Path
) -> None:
    """A worker's error about a part reaches the caller unchanged, both when planning and when loading."""
    (tmp_path / "bad.parquet").write_bytes(b"<html>")
    with pytest.raises(SourceError, match=r"bad.parquet is not a Parquet file \(6 bytes: .*\); upload it again"):
        run.plan(Settings(f"{tmp_path}/", shared, dask=cluster.address))
    (tmp_path / "bad.parquet").unlink()
    whole = written(history(*({"voucher_amount": float(amount)} for amount in range(2000)))).read_bytes()
    (tmp_path / "history.parquet").write_bytes(whole[:4] + bytes(400) + whole[404:])
    config = Settings(f"{tmp_path}/", shared, dask=cluster.address)
    with pytest.raises(PipelineError, match=r"history.parquet can't be read: .*; replace the file"):
        run.load(config, run.plan(config))


def test_no_secret_passes_the_scheduler(cluster: Cluster, shared: str, written: Written) -> None:
    """No password passes the scheduler: workers read the database's URL from their own environment."""
    with overheard(int(cluster.address.rpartition(":")[2])) as (port, passed):
        config = Settings(str(written(history({}, {}))), shared, dask=f"tcp://127.0.0.1:{port}")
        run_id = run.run(config, "test")
    assert run_id.encode() in passed
    assert ROLES_PASSWORD.encode() not in passed


def test_a_worker_of_another_version_refuses(settings: Make, written: Written, query: Query) -> None:
    """A worker refuses a run that was planned with other rules, and loads nothing."""
    config = settings(written(history({})))
    run_id = run.plan(config)
    (numbered,) = tables.unread_parts(Database(config.database_url), run_id)
    with pytest.raises(PipelineError, match=f"run {run_id} was planned by another version of the software"):
        steps.load_part_in_worker(job(config, run_id, rules=RuleBook(())), 1, 1, numbered)
    assert query("SELECT count(*) FROM voucher.assignment") == [(0,)]


def test_a_part_that_two_load_at_the_same_time_is_there_once(
    settings: Make, written: Written, database: str, query: Query
) -> None:
    """Two concurrent loads of a part both succeed, and its rows are stored once."""
    config = settings(written(history(*[{}] * 50)))
    run_id = run.plan(config)
    tables.prepare(Database(config.database_url), run_id)
    (numbered,) = tables.unread_parts(Database(config.database_url), run_id)
    load = partial(steps.load_part, job(config, run_id), Database(config.database_url))
    with (
        engine.open_duckdb() as within,
        ThreadPoolExecutor(2) as pool,
        closing(psycopg2.connect(database)) as connection,
    ):
        connection.cursor().execute("LOCK TABLE voucher.loaded_part IN ACCESS EXCLUSIVE MODE")
        loaders = [pool.submit(load, within, numbered) for _ in range(2)]
        both = until(lambda: query(WAITING) == [(2,)], 20, every=0.01)
        connection.rollback()
        for loader in loaders:
            loader.result(timeout=20)
    assert both
    assert query("SELECT count(*) FROM voucher.assignment") == [(50,)]
    assert query("SELECT loaded_by, rows_kept FROM voucher.loaded_part") == [(run_id, 50)]
