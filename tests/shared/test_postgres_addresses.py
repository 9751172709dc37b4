"""The pipeline, the migrations and the service read database addresses in the same way, and never show them."""

import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from flask import Flask

from app import create_app
from app.settings import Settings as AppSettings
from dev.ports import free_port
from dev.services.postgres import Postgres
from pipeline.migrations import MigrationError, migrate
from pipeline.migrations.roles import RoleError
from pipeline.publish.database import Database, DatabaseError, DatabaseUnavailable
from pipeline.settings import Settings
from shared import postgres as connecting
from shared.environment import SettingsError
from shared.postgres import Address
from tests.conftest import API, PIPELINE, as_role

WORD = "hunter2Secret"
LEAST = {"user": "u", "password": "p", "host": "h", "dbname": "db"}


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("postgresql://u:p@h/db", LEAST),
        ("postgres://u:p@h/db", LEAST),
        ("POSTGRESQL://u:p@h/db", LEAST),
        ("postgresql+psycopg2://u:p@h/db", LEAST),
        ("postgresql+psycopg://u:p@h/db", LEAST),
        ("postgresql+asyncpg://u:p@h/db", LEAST),
        (" postgresql://u:p@h/db\n", LEAST),
        ('"postgresql://u:p@h/db"', LEAST),
        ("'postgresql://u:p@h/db' ", LEAST),
        ("host=h dbname=db user=u password=p", LEAST),
        ("host=h dbname=db user=u password='p q'", LEAST | {"password": "p q"}),
        ("postgresql://h/db?user=u&password=p", LEAST),
        ("postgresql://u:p%40%2F%25%3A%3F%23@h/db", LEAST | {"password": "p@/%:?#"}),
        ("postgresql://u:p?#&=é@h/db", LEAST | {"password": "p?#&=é"}),
        ("postgresql://u:p:q@h/db", LEAST | {"password": "p:q"}),
        ("postgresql://me%40corp:p@h/db", LEAST | {"user": "me@corp"}),
        ("postgresql://u:p@h:1,i:2/db", LEAST | {"host": "h,i", "port": "1,2"}),
        ("postgresql://u:p@h/db?target_session_attrs=any", LEAST | {"target_session_attrs": "any"}),
        ("postgresql://u:p@%2Fvar%2Frun/db", LEAST | {"host": "/var/run"}),
        ("postgresql://u:p@/db?host=/var/run", LEAST | {"host": "/var/run"}),
        ("postgresql://u:p@[::1]:5/db", LEAST | {"host": "::1", "port": "5"}),
        ("postgresql://u:p@h/db?options=-c%20work_mem%3D1MB", LEAST | {"options": "-c work_mem=1MB"}),
        ("service=mine", {"service": "mine"}),
    ],
)
def test_forms_of_an_address(text: str, parameters: dict[str, str]) -> None:
    """Every form that libpq accepts is read, and so is SQLAlchemy's name of a driver."""
    assert dict(Address.read(text).parameters) == parameters


@pytest.mark.parametrize(
    "text",
    [
        WORD,
        f"mysql://u:{WORD}@h/db",
        f"jdbc:postgresql://h/db?user=u&password={WORD}",
        f"http://u:{WORD}@h/db",
        f"postgresql:/u:{WORD}@h/db",
        f"postgresql//u:{WORD}@h/db",
        f"u:{WORD}@h/db",
        f"postgresql://u:x@{WORD}@h/db",
        f"postgresql://u@{WORD}:p@h/db",
        f"postgresql://u:{WORD}/x@h/db",
        f"postgresql://u:12345/6{WORD}@h/db",
        f"postgresql://u:5432?application_name=x/{WORD}@h/db",
        f"postgresql://u:p@h/db?password={WORD}@x",
        f"postgresql://u:100%{WORD}@h/db",
        f"postgresql://u:%zz{WORD}@h/db",
        f"postgresql://u:{WORD}%@h/db",
        f"postgresql://u:{WORD}%ff@h/db",
        f"postgresql://u:{WORD}%00@h/db",
        f"postgresql://u:{WORD}\n@h/db",
        f"postgresql://u:{WORD}\udcff@h/db",
        f"postgresql://u:{WORD}\0@h/db",
        f"postgresql://u:{WORD}@h:${{PORT}}/db",
        f"postgresql://u:{WORD}@${{HOST}}/db",
        f"postgresql://u:{WORD}@h:5432/db@x",
        f"postgresql://u:{WORD}@h:99999999/db",
        f"postgresql://u:{WORD}@h o/db",
        f"postgresql://u:p@h/db?{WORD}=1",
        f"postgresql://u:p@h/db?{WORD}",
        f"postgresql://u:{WORD}",
        f"postgresql://?password={WORD}",
        f"host=h password=x {WORD}",
        f"host={WORD}@h",
        f"password={WORD}",
    ],
)
def test_a_mistyped_address(text: str) -> None:
    """The error names the variable and the remedy; neither the address nor the driver's message is shown or kept."""
    with pytest.raises(
        SettingsError, match=r"^DB is not postgresql://role:password@host:port/database: .* % as %25,"
    ) as e:
        Address.read(text, "DB")
    assert WORD not in str(e.value)
    assert e.value.__context__ is None
    for environ in ({"PIPELINE_DATABASE_URL": text}, {"DATABASE_URL": text}):
        if "\0" not in text:
            with pytest.raises(Exception, match=f"^{next(iter(environ))} is not") as read:
                Settings.read("x", environ)
            assert WORD not in repr(read.value)
    with pytest.raises(SettingsError, match=r"^API_DATABASE_URL is not"):
        AppSettings.from_environment({"API_DATABASE_URL": text})
    with pytest.raises(MigrationError, match=r"^DATABASE_URL is not"):
        migrate(text)
    with pytest.raises(RoleError, match=r"^API_DATABASE_URL is not"):
        migrate("host=h", api_url=text)


def test_an_address_shows_nothing_of_itself() -> None:
    """Neither an address nor settings that contain one show any part of it."""
    text = f"postgresql://{WORD}1:{WORD}2@127.0.0.1/{WORD}3?options={WORD}4"
    settings = Settings(f"s3://{WORD}", text, dask=f"tcp://{WORD}:1", rows=f"s3://{WORD}/")
    shown = [
        Address.read(text),
        settings,
        Database(text),
        Database(Address.read(text)),
        AppSettings(Address.read(text)),
    ]
    assert WORD not in repr(shown)


@pytest.mark.parametrize("value", [f"u:{WORD}@h:1", f"tcp://u:{WORD}@h:1", f"tcp://h:1/{WORD}", WORD, f"h:{WORD}"])
def test_a_mistyped_scheduler(value: str) -> None:
    """The error names VOUCHER_DASK, and shows its value only if no part of it can be a secret."""
    with pytest.raises(Exception, match=r"VOUCHER_DASK .* not the address of a scheduler like tcp://") as refusal:
        Settings.read("x", {"DATABASE_URL": "host=x", "VOUCHER_DASK": value})
    assert WORD not in str(refusal.value)


@pytest.mark.parametrize(
    "value", [f"s3://K:{WORD}@b/p/", f"s3://b/p/?x={WORD}", f"https://{WORD}/", f"K:{WORD}@b", WORD]
)
def test_mistyped_rows(value: str) -> None:
    """The error names VOUCHER_ROWS, and shows its value only if no part of it can be a secret."""
    with pytest.raises(Exception, match=r"VOUCHER_ROWS .* not s3://bucket/prefix/") as refusal:
        Settings.read("x", {"DATABASE_URL": "host=x", "VOUCHER_ROWS": value})
    assert WORD not in str(refusal.value)


@pytest.mark.parametrize("value", ["tcp://scheduler:8786", "tls://10.0.0.1:8786/", "tcp://[::1]:8786"])
def test_an_address_of_a_scheduler(value: str) -> None:
    """VOUCHER_DASK is a scheme, a host and a port, with or without a / at the end."""
    assert Settings.read("x", {"DATABASE_URL": "host=x", "VOUCHER_DASK": value}).dask == value


def forms(url: str) -> dict[str, str]:
    """Return the address of one database in many forms."""
    role, word, port, name = re.fullmatch(r"postgresql://(\w+):(.+)@127.0.0.1:(\d+)/(\w+)", url).groups()
    closed = free_port()
    return {
        "plain": url,
        "sqlalchemy": url.replace("postgresql", "postgresql+psycopg2"),
        "quoted": f'"{url}"\n',
        "hosts": url.replace(f"127.0.0.1:{port}", f"127.0.0.1:{closed},127.0.0.1:{port}"),
        "primary": f"{url}?target_session_attrs=read-write",
        "query": f"postgresql://?host=127.0.0.1&port={port}&user={role}&password={word}&dbname={name}",
        "pairs": f"host=127.0.0.1 port={port} user={role} password={word} dbname={name}",
        "options": f"{url}?options=-c%20work_mem%3D1MB",
    }


@pytest.fixture
def started() -> Iterator[list[Flask]]:
    apps: list[Flask] = []
    yield apps
    for app in apps:
        app.extensions["published"].stop()


@pytest.mark.parametrize("form", forms("postgresql://a:b@127.0.0.1:1/c"))
def test_all_three_connect_by_the_same_address(database: str, form: str, started: list[Flask]) -> None:
    """The pipeline, `migrate` and the service accept the same forms of an address."""
    urls = [forms(url)[form] for url in (database, as_role(database, PIPELINE), as_role(database, API))]
    migrate(*urls)
    with Database(urls[1]).transaction() as cursor:
        cursor.execute("SELECT current_user, current_setting('work_mem')")
        assert tuple(cursor.fetchone()) == (PIPELINE, "1MB" if form == "options" else "4MB")
    started.append(create_app(AppSettings.from_environment({"API_DATABASE_URL": urls[2]})))
    assert started[0].extensions["published"].database_answers


@pytest.mark.parametrize("word", ["p@ss/w:rd", "100%pure", "?x=y&z#é", "a b'c\"d\\e", "${NOT}", "пароль"])
def test_a_password_of_any_characters(postgres: Postgres, database: str, word: str, started: list[Flask]) -> None:
    """A percent-encoded password works for `migrate`, the pipeline and the service."""
    roles = [f"{kind}_{secrets.token_hex(4)}" for kind in ("pipeline", "api")]
    urls = [as_role(database, role, quote(word, safe="")).replace("\\", "\\\\") for role in roles]
    migrate(database, *urls)
    with Database(urls[0]).transaction() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (roles[0],)
    started.append(create_app(AppSettings.from_environment({"API_DATABASE_URL": urls[1]})))
    assert started[0].extensions["published"].database_answers


CLOSED = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            f"postgresql://u:{WORD}@{CLOSED}/db",
            r"^Postgres does not answer \(connection refused\); check DB and that it",
        ),
        (
            f"postgresql://u:p@/{WORD}?host=/{WORD}",
            r"^Postgres does not answer \(no such socket\); check DB and that it",
        ),
        (
            f"postgresql://{WORD}@{CLOSED}/db?sslmode={WORD}",
            "^Postgres and DB do not agree on encryption; check sslmode",
        ),
        (
            f"postgresql://{CLOSED}/db?connect_timeout={WORD}",
            "^a parameter of DB cannot be used; check the names",
        ),
        (f"postgresql://{CLOSED}/?target_session_attrs={WORD}", "^a parameter of DB cannot be used; check the"),
        (f"service={WORD}", "^a parameter of DB cannot be used; check the names"),
        ("postgresql://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/db?port=1,2", "^a parameter of DB cannot be used"),
    ],
)
def test_what_the_driver_says_while_it_connects(address: str, message: str) -> None:
    """The error has our own words, because the driver's message may contain parts of the address."""
    with pytest.raises(DatabaseError, match=message) as refusal, Database(Address.read(address, "DB")).transaction():
        pass
    assert WORD not in str(refusal.value)
    assert isinstance(refusal.value, DatabaseUnavailable) is ("does not answer" in message)


@pytest.mark.parametrize(
    ("role", "word", "name", "message"),
    [
        ("voucher", WORD, "", "^Postgres refused the password; correct it in DB"),
        (WORD, WORD, "", "^Postgres refused the password; correct it in DB"),
        ("voucher", "", "", "^Postgres refused the password; correct it in DB"),
        ("voucher", None, WORD, "^Postgres does not have the database of DB; create it, or correct"),
    ],
)
def test_what_postgres_says_while_it_lets_in(
    postgres: Postgres, database: str, role: str, word: str | None, name: str, message: str
) -> None:
    """A wrong password and a missing database are distinct from an unavailable server, and not retryable."""
    url = f"postgresql://{role}:{postgres.password if word is None else word}@127.0.0.1:{postgres.port}/{name or 'voucher'}"
    with pytest.raises(DatabaseError, match=message) as refusal, Database(Address.read(url, "DB")).transaction():
        pass
    assert WORD not in str(refusal.value)
    assert not refusal.value.retryable


def test_no_connection_left(postgres: Postgres, database: str) -> None:
    """The error names the exhausted connection limit, and the server counts as unavailable, which is retryable."""
    role = f"limited_{secrets.token_hex(4)}"
    postgres.execute("CREATE ROLE {} LOGIN CONNECTION LIMIT 1 PASSWORD 'word'", role)
    url = as_role(database, role, "word")
    with (
        closing(connecting.connect(url)),
        pytest.raises(DatabaseUnavailable, match=r"^Postgres has no connection left .*CONNECTION LIMIT") as refusal,
        Database(url).transaction(),
    ):
        pass
    assert role not in str(refusal.value)


def test_one_s_own_timeout_stays(database: str) -> None:
    """A statement_timeout in the address applies, and the error about it is not retryable."""
    with (
        pytest.raises(
            DatabaseError, match=r"^Postgres cancelled a statement .*look for statement_timeout in"
        ) as refusal,
        Database(f"{database}?options=-c%20statement_timeout%3D50ms").transaction() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(30)")
    assert not refusal.value.retryable
