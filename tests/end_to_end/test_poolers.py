"""Postgres behind PgBouncer, as Debian installs it. It rejects start-up options, and in transaction mode each
transaction may run in another server process.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from app import create_app
from app.settings import Settings as AppSettings
from dev.ports import free_port
from dev.processes import as_user, until
from pipeline import run
from pipeline.migrations import migrate
from pipeline.publish import publication
from pipeline.publish.database import ONE_RUN, Database, DatabaseError
from pipeline.settings import Settings
from shared import postgres as connecting
from tests.app.conftest import Tables
from tests.conftest import API, PIPELINE, as_role
from tests.pipeline.conftest import history, written  # noqa: F401  (a fixture)

CONFIG = """
[databases]
* = host=127.0.0.1 port={postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = 4
"""


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer. `owner`, `pipeline` and `api` are addresses through it, `direct` is one without it."""

    owner: str
    pipeline: str
    api: str
    direct: str


@contextmanager
def started(database: str, mode: str) -> Iterator[Pooler]:
    """Start PgBouncer between the roles of a database and its server."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not program:
        pytest.skip("there is no pgbouncer: `apt-get install pgbouncer` brings it")
    port, urls = free_port(), [database, as_role(database, PIPELINE), as_role(database, API)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgbouncer-")))
        folder.chmod(0o755)  # PgBouncer does not run as root
        users = [f'"{urlsplit(url).username}" "{urlsplit(url).password}"\n' for url in urls]
        (folder / "users").write_text("".join(users))
        settings = CONFIG.format(postgres=urlsplit(database).port, port=port, folder=folder, mode=mode)
        (folder / "pgbouncer.ini").write_text(settings)
        process = subprocess.Popen(
            [program, "--quiet", folder / "pgbouncer.ini"],
            stderr=subprocess.DEVNULL,
            **as_user("nobody" if Path("/proc/self").stat().st_uid == 0 else None),
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        pooled = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", url) for url in urls]
        assert until(lambda: answers(pooled[0]), 10), "PgBouncer does not answer"
        yield Pooler(*pooled, database)


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.fixture(params=["session", "transaction"])
def pooler(database: str, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    with started(database, request.param) as found:
        yield found


@pytest.fixture
def in_session(database: str) -> Iterator[Pooler]:
    with started(database, "session") as found:
        yield found


@pytest.fixture
def in_transaction(database: str) -> Iterator[Pooler]:
    with started(database, "transaction") as found:
        yield found


def locks(pooler: Pooler) -> int:
    """Return the number of advisory locks in all sessions."""
    with closing(psycopg2.connect(pooler.direct)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        return int(cursor.fetchone()[0])


def test_a_run_through_session_mode(in_session: Pooler, written: Callable[..., Path]) -> None:  # noqa: F811
    """`migrate` and a run work without start-up options, and leave no lock."""
    migrate(in_session.owner, in_session.pipeline, in_session.api)
    run_id = run.run(Settings(str(written(history(*[{}] * 20))), in_session.pipeline), "test")
    assert publication.current(Database(in_session.pipeline)) is not None
    assert run_id
    assert locks(in_session) == 0


def test_transaction_mode_is_refused_by_name(in_transaction: Pooler, written: Callable[..., Path]) -> None:  # noqa: F811
    """In transaction mode, where no lock can separate two runs, a run fails with a remedy and leaves no row or lock."""
    migrate(in_transaction.owner, in_transaction.pipeline, in_transaction.api)
    database = Database(connecting.Address.read(in_transaction.pipeline, "PIPELINE_DATABASE_URL"))
    message = "^PIPELINE_DATABASE_URL leads to a connection pooler in transaction mode, .* session mode, or connect to Postgres"
    with pytest.raises(DatabaseError, match=message) as refusal:
        run.run(Settings(str(written(history({}))), database.url), "test")
    assert not refusal.value.retryable
    assert locks(in_transaction) == 0
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM voucher.run")
        assert cursor.fetchone() == (0,)


def test_a_lock_that_moved_is_noticed(in_transaction: Pooler) -> None:
    """If the first check misses transaction mode, a transaction in another server process detects it."""
    with closing(connecting.connect(in_transaction.pipeline)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        held = Database(in_transaction.pipeline, connecting.connect(in_transaction.pipeline), cursor.fetchone()[0])
        with pytest.raises(DatabaseError, match="in transaction mode"), held.transaction():
            pass
        held.connection.close()


def test_the_service_works_through_it(pooler: Pooler) -> None:
    """In each mode the service answers and its settings apply to each transaction; none remains in a server process."""
    Tables(pooler.direct).publish()
    app = create_app(AppSettings.from_environment({"API_DATABASE_URL": pooler.api}))
    try:
        client = app.test_client()
        customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
        assert client.post("/voucher", json=customer).json == {"voucher_amount": 1000}
        assert [client.get(path).status_code for path in ("/runs", "/rules", "/segments", "/")] == [200] * 4
        assert client.get("/readyz").json["status"] == "ok"
        shown = "SELECT current_setting('statement_timeout'), current_setting('timezone'), pg_backend_pid()"
        with app.extensions["tables"]._engine.connect() as one, app.extensions["tables"]._engine.connect() as other:
            rows = [connection.exec_driver_sql(shown).one() for connection in (one, other)]
        assert [row[:2] for row in rows] == [("10s", "UTC")] * 2
        assert rows[0][2] != rows[1][2]
    finally:
        app.extensions["published"].stop()
    with closing(psycopg2.connect(pooler.api)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_options_that_a_pooler_refuses(in_session: Pooler) -> None:
    """If the pooler rejects options in the address, the error names them."""
    url = f"{in_session.pipeline}?options=-c%20work_mem%3D1MB"
    with pytest.raises(DatabaseError, match="a connection pooler refused a start-up parameter; remove `options` from"):
        Database(url).exclusive().__enter__()


def test_one_run_at_a_time_through_session_mode(in_session: Pooler) -> None:
    """In session mode, a run's lock excludes other sessions, as it does without a pooler."""
    with Database(in_session.pipeline).exclusive(), closing(psycopg2.connect(in_session.direct)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (ONE_RUN,))
        assert cursor.fetchone() == (False,)
    assert locks(in_session) == 0
