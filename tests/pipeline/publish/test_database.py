"""Errors of Postgres, supported encodings and role settings, and unusual users and environments."""

import os
import secrets
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dev.services.postgres import Postgres
from pipeline import __main__ as command_line
from pipeline import run
from pipeline.migrations import MigrationError, migrate
from pipeline.migrations.roles import RoleError
from pipeline.publish import publication, runs
from pipeline.publish.database import Database, DatabaseBusy, DatabaseError, DatabaseUnavailable
from pipeline.publish.listing import latest_publications
from pipeline.settings import Settings
from shared import sqlstates
from shared.postgres import Address
from shared.sqlstates import ANSWERS
from tests.conftest import API, PIPELINE, ROOT, as_role
from tests.pipeline.conftest import history

Written = Callable[..., Path]


def raising(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'server says so' USING ERRCODE = '{state}'; END $$"


@pytest.mark.parametrize(
    ("state", "kind", "message"),
    [
        ("08006", DatabaseUnavailable, r"^Postgres does not answer \(server says so\); check X and that it runs"),
        ("57P01", DatabaseUnavailable, "^Postgres does not answer"),
        ("57P02", DatabaseUnavailable, "^Postgres does not answer"),
        ("57P03", DatabaseUnavailable, "^Postgres is starting or stopping"),
        ("57P05", DatabaseUnavailable, "^Postgres does not answer"),
        ("53300", DatabaseUnavailable, "^Postgres has no connection left"),
        ("53200", DatabaseUnavailable, "^Postgres has too little memory"),
        ("40001", DatabaseUnavailable, "^two sessions wanted the same rows .*; run again"),
        ("40P01", DatabaseUnavailable, "^two sessions wanted the same rows"),
        ("55P03", DatabaseBusy, r"^another session has locked a table .*pg_stat_activity .*; run again when"),
        ("57014", DatabaseError, "^Postgres cancelled a statement .*statement_timeout in X"),
        ("53100", DatabaseError, "^the disk of Postgres is full"),
        ("54000", DatabaseError, "^a value is too long for an index .*longest country_code"),
        ("54001", DatabaseError, "^a limit of Postgres is exceeded"),
        (
            "42501",
            DatabaseError,
            "^Postgres refused: server says so; run `python -m pipeline migrate`, which grants the role of X",
        ),
        ("42P01", DatabaseError, r"^Postgres lacks the tables \(server says so\); run `python -m pipeline migrate`"),
        ("3F000", DatabaseError, "^Postgres lacks the tables"),
        ("42883", DatabaseError, "^Postgres lacks the tables"),
        ("25006", DatabaseError, "^Postgres accepts no writes: it is a replica or read-only; name the primary in X"),
        ("22P05", DatabaseError, "^the database cannot store a text .*ENCODING 'UTF8'"),
        ("22021", DatabaseError, "^a text has bytes that its encoding does not have .*or correct the text"),
        ("28000", DatabaseError, "^Postgres does not accept the role of X"),
        ("XX000", DatabaseError, "^Postgres refused: server says so; see the log of Postgres"),
        ("23505", DatabaseError, "^Postgres refused: server says so"),
    ],
)
def test_the_sqlstate_decides(pipeline_database: str, state: str, kind: type[Exception], message: str) -> None:
    """The SQLSTATE, not the driver's class, decides the remedy and the error's class, and thus what is retryable."""
    address = Address.read(pipeline_database, "X")
    with pytest.raises(DatabaseError, match=message) as refusal, Database(address).transaction() as cursor:
        cursor.execute(raising(state))
    assert type(refusal.value) is kind
    assert "psycopg2" not in "".join(traceback.format_exception(refusal.value))


def test_each_answer_can_be_told() -> None:
    """Every answer has a message and a remedy, and an SQLSTATE or words to match; none is hidden by an earlier one."""
    for answer in ANSWERS:
        assert answer.message.format(detail="d", variable="v")
        assert answer.remedy.format(variable="v")
        assert answer.sqlstate or answer.words
    states = [answer.sqlstate for answer in ANSWERS if answer.sqlstate]
    for place, state in enumerate(states):
        assert not [earlier for earlier in states[:place] if state.startswith(earlier) and state != earlier], state


@pytest.mark.parametrize(
    ("said", "message", "retryable"),
    [
        ("server closed the connection unexpectedly", "Postgres does not answer", True),
        ("SSL SYSCALL error: EOF detected", "Postgres does not answer", True),
        ("SSL connection has been closed unexpectedly", "Postgres does not answer", True),
        ('connection to server at "h" (1.2.3.4), port 5 failed: timeout expired', "(no answer in time)", True),
        ('could not translate host name "h" to address: Name or service not known', "(unknown host)", True),
        ("FATAL:  the database system is starting up", "starting or stopping", True),
        ("FATAL:  sorry, too many clients already", "no connection left", True),
        ('FATAL:  too many connections for role "secret"', "no connection left", True),
        ("FATAL:  no more connections allowed (max_client_conn)", "no connection left", True),
        ('FATAL:  password authentication failed for user "secret"', "refused the password", False),
        ("fe_sendauth: no password supplied", "refused the password", False),
        ('FATAL:  no pg_hba.conf entry for host "secret", user "secret"', "does not accept the role", False),
        ('FATAL:  role "secret" does not exist', "does not accept the role", False),
        ('FATAL:  role "secret" is not permitted to log in', "does not accept the role", False),
        ('FATAL:  permission denied for database "secret"', "does not accept the role", False),
        ('FATAL:  database "secret" does not exist', "does not have the database", False),
        ("FATAL:  unsupported startup parameter: options", "a connection pooler refused", False),
        ("FATAL:  Feature not supported: RDS Proxy currently doesn't support command-line options.", "pooler", False),
        ("connection failed: session is read-only", "matches target_session_attrs", True),
        ("server does not support SSL, but SSL was required", "do not agree on encryption", False),
        ('root certificate file "/secret" does not exist', "do not agree on encryption", False),
        ("SSL error: certificate verify failed", "do not agree on encryption", False),
        ('FATAL: something new about "secret"', "Postgres does not answer (FATAL: something new about ...)", True),
        ("FATAL: something new about secret", "Postgres does not answer (FATAL: something new about ...)", True),
    ],
)
def test_words_decide_where_the_driver_has_no_sqlstate(said: str, message: str, retryable: bool) -> None:
    """While connecting, there is no SQLSTATE: the driver's words decide, and no value of the address is shown."""
    address = Address.read("postgresql://secret:secret@secret/secret", "X")
    error = psycopg2.OperationalError(said)
    assert message in sqlstates.explain(error, address)
    assert "secret" not in sqlstates.explain(error, address).replace("Rotating secrets", "")
    assert sqlstates.classify(error).retryable is retryable


def test_the_first_of_several_errors_is_told(pipeline_database: str, postgres: Postgres) -> None:
    """If the rollback fails because the server process ended, the error gives the reason why the statement failed."""
    with (
        pytest.raises(DatabaseUnavailable, match=r"^Postgres does not answer \(the server closed the connection\)"),
        Database(pipeline_database).transaction() as cursor,
    ):
        cursor.execute("SELECT pg_backend_pid()")
        postgres.execute(f"SELECT pg_terminate_backend({cursor.fetchone()[0]})")
        cursor.execute("SELECT 1")


def test_a_role_s_settings_do_not_end_a_run(
    postgres: Postgres, database: str, settings: Callable[..., Settings], written: Written
) -> None:
    """Timeouts, encoding, time zone and date style of the role affect neither a run nor an exclusive connection."""
    role = f"hurried_{secrets.token_hex(4)}"
    migrate(database, pipeline_url=as_role(database, role))
    wanted = {
        "statement_timeout": "300ms",
        "transaction_timeout": "300ms",
        "idle_in_transaction_session_timeout": "300ms",
        "idle_session_timeout": "300ms",
        "lock_timeout": "1ms",
        "client_encoding": "LATIN1",
        "timezone": "Pacific/Auckland",
        "datestyle": "German",
    }
    for name, value in wanted.items():
        postgres.execute(f"ALTER ROLE {{}} SET {name} = '{value}'", role)
    path = written(history(*[{"country_code": "Côte d'Ivoire"}] * 20))
    run_id = run.run(Settings(str(path), as_role(database, role)), "test")
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT country_code FROM voucher.segment")
        assert cursor.fetchall() == [("Côte d'Ivoire",)]
    with Database(as_role(database, role)).exclusive() as held:
        with Database(as_role(database, role)).transaction() as cursor:
            cursor.execute("SELECT pg_sleep(0.7)")
        assert publication.current(held) == run_id


@pytest.fixture
def encoded(postgres: Postgres) -> Iterator[Callable[[str], str]]:
    """Yield a function that creates a migrated database with this encoding and returns its owner's URL."""
    made = []

    def make(encoding: str) -> str:
        made.append(f"encoded_{secrets.token_hex(4)}")
        postgres.execute(
            f"CREATE DATABASE {{}} OWNER voucher TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'",
            made[-1],
        )
        url = postgres.url(made[-1])
        migrate(url, as_role(url, PIPELINE), as_role(url, API))
        return url

    yield make
    for name in made:
        postgres.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "LATIN9", "EUC_JP"])
def test_text_comes_out_as_it_went_in(
    encoded: Callable[[str], str], written: Written, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text survives any encoding of database and client; the error names a letter that the database can't store."""
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    url = as_role(encoded(encoding), PIPELINE)
    countries = ["Peru"] if encoding == "EUC_JP" else ["Côte d'Ivoire", "São Tomé"]
    run.run(Settings(str(written(history(*[{"country_code": name} for name in countries] * 20))), url), "tést")
    with Database(url).transaction() as cursor:
        cursor.execute("SELECT DISTINCT country_code FROM voucher.segment ORDER BY 1")
        assert [row[0] for row in cursor.fetchall()] == countries
    assert next(iter(latest_publications(Database(url), 1)))["actor"] == "tést"
    if encoding == "LATIN1":
        path = written(history(*[{}] * 20), "other.parquet")
        with pytest.raises(
            DatabaseError, match=r"^the database cannot store a text .*'Ł'\); create a database with ENCODING"
        ):
            run.run(Settings(str(path), url), "Łukasz", "to see it")


def test_a_text_that_is_not_utf_8(encoded: Callable[[str], str]) -> None:
    """Bytes that are not UTF-8, written by another program to a database without an encoding, are an error."""
    url = encoded("SQL_ASCII")
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE VIEW voucher.latin AS SELECT convert_from('\\xf4', 'SQL_ASCII') AS name")
    with (
        pytest.raises(DatabaseError, match=r"^a text has bytes that its encoding does not have .*0xf4"),
        Database(url).transaction() as cursor,
    ):
        cursor.execute("SELECT name FROM voucher.latin")
        cursor.fetchone()


def test_a_schema_that_an_administrator_made(postgres: Postgres) -> None:
    """An owner who may not create schemas can migrate an existing one, also again; else the error says what to run."""
    name = f"own_{secrets.token_hex(4)}"
    postgres.execute("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'word'", name)
    postgres.execute("CREATE DATABASE {}", name)
    postgres.execute("REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    postgres.execute("GRANT CONNECT ON DATABASE {} TO {}", name, name)
    url = postgres.url(name, name, "word")
    message = (
        "^the role of DATABASE_URL may not make the schema; let an administrator run CREATE SCHEMA voucher AUTHORIZ"
    )
    with pytest.raises(MigrationError, match=message) as refusal:
        migrate(url)
    assert name not in str(refusal.value)
    with closing(psycopg2.connect(postgres.admin_url(name))) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA voucher AUTHORIZATION {name}")
    migrate(url)
    migrate(url)
    with pytest.raises(
        RoleError, match=r"of API_DATABASE_URL may not connect .* administrator run GRANT CONNECT ON DATAB"
    ):
        migrate(url, api_url=postgres.url(name, f"{name}_api", "word"))
    with closing(psycopg2.connect(postgres.admin_url(name))) as connection, connection, connection.cursor() as cursor:
        cursor.execute("ALTER SCHEMA voucher OWNER TO postgres")
    with pytest.raises(
        MigrationError, match=r"Postgres refused: .*; DATABASE_URL must name the role that owns the tables"
    ):
        migrate(url)


def test_tables_of_a_newer_version(database: str, query: Callable[..., Any]) -> None:
    """An older version refuses, in one line, to migrate the tables of a newer one."""
    query("UPDATE voucher.alembic_version SET version_num = 'later' RETURNING 1")
    with pytest.raises(
        MigrationError, match=r"^the tables were migrated by a newer version of the software; use that version"
    ):
        migrate(database)


def test_a_replica_takes_no_writes(database: str, pipeline_database: str) -> None:
    """The error for a read-only server says that it is a replica or read-only, for a run and for a migration."""
    only = "?options=-c%20default_transaction_read_only%3Don"
    with (
        pytest.raises(DatabaseError, match="accepts no writes: it is a replica"),
        Database(f"{pipeline_database}{only}").transaction() as cursor,
    ):
        cursor.execute("DELETE FROM voucher.run_part")
    with pytest.raises(MigrationError, match="accepts no writes: it is a replica"):
        migrate(f"{database}{only}", api_url=as_role(database, f"new_{secrets.token_hex(4)}"))


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 54321"), OSError("No username set")])
def test_a_user_without_a_name(
    monkeypatch: pytest.MonkeyPatch, error: Exception, query: Callable[..., Any], database: str, written: Written
) -> None:
    """The actor of a user without a name, as in a container, is the user ID, for every error that Python raises."""

    def nameless() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database)
    assert command_line.main(["run", "--source", str(written(history(*[{}] * 20)))]) == 0
    assert query("SELECT actor FROM voucher.publication") == [(f"uid {os.getuid()}",)]


@pytest.mark.parametrize(("name", "actor"), [("\udcff", "?"), ("ana\udce9", "ana?"), ("Jürgen", "Jürgen")])
def test_a_name_of_odd_bytes(monkeypatch: pytest.MonkeyPatch, name: str, actor: str) -> None:
    """Bytes of a user name that are not UTF-8, which no table can store, become question marks."""
    monkeypatch.setattr("getpass.getuser", lambda: name)
    assert command_line._actor() == actor


def test_the_reader_of_a_command_leaves(database: str) -> None:
    """If the reader of its output ends, as in `python -m pipeline runs | head -1`, the command ends quietly."""
    program = f"{sys.executable} -m pipeline runs; echo $? >&2"
    ended = subprocess.run(
        ["bash", "-c", f"exec 3>&1; ( {program} ) 3>&- | :"],
        cwd=ROOT,
        env=os.environ | {"PIPELINE_DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == "0\n"


def test_unknown_settings_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The command line warns of an unknown setting and suggests the nearest name."""
    monkeypatch.setenv("VOUCHER_KEEPRUNS", "1")
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database)
    assert command_line.main(["runs"]) == 0
    assert "VOUCHER_KEEPRUNS is set, but is not a setting; did you mean VOUCHER_KEEP_RUNS?" in caplog.text


def test_a_country_too_long_for_an_index(settings: Callable[..., Settings], written: Written) -> None:
    """The error for a country too long for an index is not retryable, and says which text to check."""
    letters = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(9000))
    with pytest.raises(DatabaseError, match=r"too long for an index of Postgres .*longest country_code") as refusal:
        run.run(settings(written(history(*[{"country_code": letters}] * 20))), "test")
    assert not refusal.value.retryable


def test_the_lock_is_let_go_of(pipeline_database: str, query: Callable[..., Any]) -> None:
    """A failed step releases the lock."""
    with pytest.raises(DatabaseError), Database(pipeline_database).exclusive() as database:
        runs.get(database, "f" * 16)
    assert query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
