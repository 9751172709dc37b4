"""What each role must not do, and how `migrate` creates the roles."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from dev.services.postgres import OWNER, Postgres
from pipeline.migrations import migrate
from pipeline.migrations.roles import RoleError
from pipeline.publish.database import Database, DatabaseError
from tests.conftest import API, PIPELINE, as_role

RUN = "a" * 16
MAY = {
    PIPELINE: {
        "run": {"INSERT", "UPDATE"},
        "part": {"INSERT", "UPDATE"},
        "run_part": {"INSERT", "UPDATE", "DELETE"},
        "loaded_part": {"INSERT"},
        "assignment": {"INSERT"},
        "rule": {"INSERT", "UPDATE"},
        "kind": {"INSERT", "UPDATE"},
        "rule_outcome": {"INSERT", "DELETE"},
        "unplaced": {"INSERT", "DELETE"},
        "segment_vote": {"INSERT", "DELETE"},
        "segment": {"INSERT", "DELETE"},
        "effect": {"INSERT", "DELETE"},
        "policy": {"INSERT", "DELETE"},
        "draw": {"INSERT", "DELETE"},
        "audit_outcome": {"INSERT", "UPDATE"},
        "current_run": {"INSERT", "UPDATE"},
        "publication": {"INSERT"},
        "notice": {"INSERT", "UPDATE"},
    },
    API: {},
}
ON_TABLES = {
    "INSERT": "INSERT INTO voucher.{table} DEFAULT VALUES",
    "UPDATE": "UPDATE voucher.{table} SET {column} = {column}",
    "DELETE": "DELETE FROM voucher.{table}",
    "TRUNCATE": "TRUNCATE voucher.{table}",
    "TRIGGER": "CREATE TRIGGER t BEFORE UPDATE ON voucher.{table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "INDEX": "CREATE INDEX ON voucher.{table} ({column})",
    "ALTER": "ALTER TABLE voucher.{table} ADD more integer",
    "DROP": "DROP TABLE voucher.{table} CASCADE",
}
OUTSIDE = [
    *("COPY (SELECT 1) TO PROGRAM 'true'", "COPY voucher.run FROM PROGRAM 'true'"),
    *("COPY voucher.run TO '/tmp/run'", "SELECT pg_read_file('PG_VERSION')", "SELECT pg_ls_dir('.')"),
    *("SELECT rolpassword FROM pg_authid", "ALTER ROLE CURRENT_USER SUPERUSER", "SET log_statement = 'none'"),
    "SET ROLE postgres",
]
NEITHER = [
    *OUTSIDE,
    "CREATE TABLE voucher.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE TABLE voucher.mine PARTITION OF voucher.assignment FOR VALUES IN ('mine')",
    "CREATE TEMP TABLE mine ()",
    "CREATE SCHEMA mine",
    "CREATE VIEW voucher.mine AS SELECT 1",
    "CREATE FUNCTION voucher.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION voucher.open_partition(run text) RETURNS void LANGUAGE sql AS ''",
    "ALTER TABLE voucher.assignment DETACH PARTITION voucher.assignment_" + RUN,
    "LOCK TABLE voucher.alembic_version IN EXCLUSIVE MODE",
    "DROP SCHEMA voucher CASCADE",
    "DROP FUNCTION voucher.drop_partition(text)",
    "CREATE ROLE mine",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "ALTER ROLE voucher PASSWORD 'mine'",
    "GRANT voucher TO CURRENT_USER",
    "SET ROLE voucher",
]
REFUSED = [
    *((role, statement) for role in (PIPELINE, API) for statement in NEITHER),
    (API, f"SELECT voucher.open_partition('{RUN}')"),
    (API, f"SELECT voucher.drop_partition('{RUN}')"),
    (API, "LOCK TABLE voucher.segment IN ACCESS EXCLUSIVE MODE"),
    (API, f"SET ROLE {PIPELINE}"),
    (API, f"ALTER ROLE {PIPELINE} PASSWORD 'mine'"),
    (PIPELINE, f"SET ROLE {API}"),
    (PIPELINE, f"ALTER ROLE {API} PASSWORD 'mine'"),
    *((OWNER, statement) for statement in OUTSIDE),
    (OWNER, f"SET ROLE {PIPELINE}"),
]


def ask(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return what Postgres answers; nothing is committed."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def roles(postgres: Postgres, template: str) -> Iterator[dict[str, str]]:
    """Yield the URLs, by role, of one database that has a partition."""
    postgres.create("roles", template)
    owner = postgres.url("roles")
    with closing(psycopg2.connect(owner)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT voucher.open_partition(%s)", (RUN,))
    yield {OWNER: owner, PIPELINE: as_role(owner, PIPELINE), API: as_role(owner, API)}
    postgres.execute("DROP DATABASE roles WITH (FORCE)")


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_refused(roles: dict[str, str], role: str, statement: str) -> None:
    """Postgres refuses each role what it doesn't need, and refuses even the owner access outside of its database."""
    with pytest.raises(InsufficientPrivilege):
        ask(roles[role], statement)


@pytest.mark.parametrize("role", [PIPELINE, API])
def test_refused_on_tables(roles: dict[str, str], role: str) -> None:
    """On every table in the catalog, Postgres refuses each statement that the role doesn't need."""
    tables = ask(
        roles[OWNER],
        """SELECT relname, max(attname) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'voucher'::regnamespace AND relkind IN ('r', 'p')
            AND attnum > 0 AND attidentity = '' GROUP BY relname""",
    )
    changed_by_view = """SELECT relname FROM pg_class WHERE relnamespace = 'voucher'::regnamespace AND relkind = 'v'
        AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')"""
    assert ask(roles[role], changed_by_view) == []
    assert {"alembic_version", f"assignment_{RUN}", *MAY[PIPELINE]} <= {table for table, _ in tables}
    accepted = []
    for table, column in tables:
        for verb in ON_TABLES.keys() - MAY[role].get(table, set()):
            statement = ON_TABLES[verb].format(table=table, column=column)
            try:
                ask(roles[role], statement)
                accepted.append(statement)
            except InsufficientPrivilege:
                pass
    assert not accepted, "take the privilege away in pipeline/migrations/roles.py, or add it to MAY with a reason"


@pytest.mark.parametrize("role", [PIPELINE, API])
def test_reads_all_tables(roles: dict[str, str], role: str) -> None:
    """Each role may read every table, including the schema's version, but partitions only through their parent."""
    parents = "SELECT relname FROM pg_class WHERE relnamespace = 'voucher'::regnamespace AND relkind IN ('r', 'p', 'v')"
    for (table,) in ask(roles[OWNER], f"{parents} AND NOT relispartition"):
        ask(roles[role], f"SELECT FROM voucher.{table}")
    with pytest.raises(InsufficientPrivilege):
        ask(roles[role], f"SELECT FROM voucher.assignment_{RUN}")


@pytest.mark.parametrize("function", ["open_partition", "drop_partition"])
def test_partitions_of_runs_only(roles: dict[str, str], function: str) -> None:
    """The functions that create and drop partitions refuse a name that is not a run_id."""
    with pytest.raises(psycopg2.errors.RaiseException, match="not a run id: not an id"):
        ask(roles[PIPELINE], f"SELECT voucher.{function}('not an id')")


@pytest.fixture
def name() -> str:
    """Return the name of a role that doesn't exist yet; roles belong to the server, not to a database."""
    return f"role_{secrets.token_hex(4)}"


@pytest.fixture
def kept(postgres: Postgres, database: str) -> Callable[[], list[tuple[Any, ...]]]:
    """Return a function that reads the server's password verifiers and privileges as its superuser."""
    url = postgres.admin_url(database.rpartition("/")[2])
    statement = """SELECT relname::text, relacl::text FROM pg_class WHERE relnamespace = 'voucher'::regnamespace
        UNION ALL SELECT proname, proacl::text FROM pg_proc WHERE pronamespace = 'voucher'::regnamespace
        UNION ALL SELECT nspname, nspacl::text FROM pg_namespace
        UNION ALL SELECT datname, datacl::text FROM pg_database
        UNION ALL SELECT rolname, rolpassword FROM pg_authid
        ORDER BY 1, 2"""
    return lambda: ask(url, statement)


def test_a_second_migration_changes_nothing(
    database: str, name: str, kept: Callable[[], list[tuple[Any, ...]]]
) -> None:
    """A second migration leaves the verifiers and privileges of correct roles unchanged."""
    urls = (database, as_role(database, name), as_role(database, f"{name}_api"))
    migrate(*urls)
    before = kept()
    migrate(*urls)
    assert kept() == before


def test_stray_privileges_are_taken_away(
    postgres: Postgres, database: str, kept: Callable[[], list[tuple[Any, ...]]]
) -> None:
    """The next migration revokes privileges that were granted by hand."""
    urls = (database, as_role(database, PIPELINE), as_role(database, API))
    migrate(*urls)
    before = kept()
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            f"GRANT ALL ON ALL TABLES IN SCHEMA voucher TO {API}; GRANT UPDATE (at) ON voucher.publication TO {PIPELINE};"
            f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA voucher TO {API}; GRANT CREATE ON SCHEMA voucher TO {PIPELINE};"
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA voucher TO {API}; GRANT ALL ON DATABASE {connection.info.dbname} TO {API}"
        )
    assert kept() != before
    migrate(*urls)
    assert kept() == before


def test_a_changed_password(database: str, name: str) -> None:
    """A migration with another password in the URL rotates the secret, and the old password stops working."""
    old, new = as_role(database, name, "old%20word"), as_role(database, name, "n%C3%A9w%2Fword")
    migrate(database, api_url=old)
    assert ask(old, "SELECT count(*) FROM voucher.segment") == [(0,)]
    migrate(database, api_url=new)
    assert ask(new, "SELECT count(*) FROM voucher.segment") == [(0,)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(old, "SELECT 1")


def test_no_password_reaches_the_log(postgres: Postgres, database: str, name: str) -> None:
    """A server that logs every statement logs no password."""
    postgres.execute("ALTER DATABASE {} SET log_statement = 'all'", database.rpartition("/")[2])
    migrate(database, api_url=as_role(database, name, "word-to-be-kept"))
    migrate(database, api_url=as_role(database, name, "word-to-be-kept-too"))
    log = postgres.processes.log("postgres").read_text()
    assert f'CREATE ROLE "{name}"' in log
    assert f'ALTER ROLE "{name}"' in log
    assert "word-to-be-kept" not in log


def test_an_owner_without_createrole(postgres: Postgres, name: str) -> None:
    """Without CREATEROLE, the error says what an administrator must run, shows no password, and nothing is created."""
    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'word'", name)
    postgres.execute("CREATE DATABASE {} OWNER {}", name, name)
    owner, api = postgres.url(name, name, "word"), postgres.url(name, f"{name}_api", "other-word")
    with pytest.raises(
        RoleError, match=r"role of API_DATABASE_URL does not exist, .* administrator run CREATE ROLE role LOGIN"
    ) as refusal:
        migrate(owner, api_url=api)
    assert "other-word" not in str(refusal.value)
    assert ask(owner, "SELECT to_regnamespace('voucher')") == [(None,)]

    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'earlier-word'", f"{name}_api")
    with pytest.raises(
        RoleError, match=r"API_DATABASE_URL can't log in \(Postgres refused the password\).* ALTER ROLE role LOGIN"
    ):
        migrate(owner, api_url=api)

    postgres.execute("ALTER ROLE {} LOGIN PASSWORD 'other-word'", f"{name}_api")
    migrate(owner, api_url=api)
    assert ask(api, "SELECT count(*) FROM voucher.segment") == [(0,)]


@pytest.mark.parametrize(
    "powers", ["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS", "IN ROLE voucher"]
)
def test_a_role_that_may_too_much(postgres: Postgres, database: str, name: str, powers: str) -> None:
    """A role with extra powers fails the whole migration with the variable's name, and is not changed."""
    postgres.execute(f"CREATE ROLE {{}} LOGIN PASSWORD 'word' {powers}", name)
    with pytest.raises(RoleError, match="the role of API_DATABASE_URL is a superuser, may"):
        migrate(database, as_role(database, f"{name}_pipeline"), as_role(database, name, "another"))
    assert ask(as_role(database, name, "word"), "SELECT 1") == [(1,)]
    assert not ask(database, "SELECT FROM pg_roles WHERE rolname = %s", f"{name}_pipeline")


def test_one_role_for_both(database: str, name: str) -> None:
    """The pipeline and the API can't share a role, unless it is the owner, for a first try."""
    migrate(database, database, database)
    with pytest.raises(RoleError, match="PIPELINE_DATABASE_URL and API_DATABASE_URL name the same role"):
        migrate(database, as_role(database, name), as_role(database, name))


@pytest.mark.parametrize("url", ["s3cret", "postgresql://:s3cret@db/voucher", "postgresql:///voucher?password=s3cret"])
def test_not_a_url(database: str, url: str) -> None:
    """The error for a URL without a role names the variable and doesn't show the value."""
    with pytest.raises(RoleError, match="PIPELINE_DATABASE_URL is not postgresql://role:password@") as refusal:
        migrate(database, pipeline_url=url)
    assert "s3cret" not in str(refusal.value)


def test_the_command_makes_the_roles(database: str, name: str, command: Callable[..., Any]) -> None:
    """`python -m pipeline migrate` creates the roles in the environment, and names those whose password it set."""
    url = as_role(database, name)
    result = command("migrate", API_DATABASE_URL=url)
    assert (result.returncode, result.stderr) == (0, "")
    assert "the role of API_DATABASE_URL has its password now" in result.stdout
    assert ask(url, "SELECT count(*) FROM voucher.segment") == [(0,)]


def test_a_role_that_was_not_granted_anything(postgres: Postgres, database: str, name: str) -> None:
    """The error for a role that `migrate` never set up says to run `migrate`."""
    postgres.execute("CREATE ROLE {} LOGIN PASSWORD 'word'", name)
    with (
        pytest.raises(DatabaseError, match="permission denied for schema voucher; run `python -m pipeline migrate`"),
        Database(as_role(database, name, "word")).transaction() as cursor,
    ):
        cursor.execute("SELECT FROM voucher.run")
