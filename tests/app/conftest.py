"""An app on a database of its own, and published runs written as rows: the tables are the contract."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import psycopg2
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from psycopg2.extras import execute_values
from werkzeug.test import TestResponse

from app import create_app
from app.settings import Settings, database_url
from dev.ports import free_port
from dev.postgres import Postgres
from dev.processes import until
from tests.conftest import API, ROOT, as_role, migrate

RUN = "a" * 16
DAY = date(2018, 7, 15)  # the reference day of the pinned runs here
DATA_TO = datetime(2018, 7, 14, 21, tzinfo=UTC)  # the end of their history: years ago

# The kinds and bounds of the design, each segment with an amount of its own, so that a wrong segment shows.
Bounds = tuple[str, int, int | None, Decimal | int]
FREQUENT: list[Bounds] = [("0-4", 0, 4, 1000), ("5-13", 5, 13, 1100), ("14-37", 14, 37, 1200), ("38+", 38, None, 1300)]
RECENCY: list[Bounds] = [
    ("0-29", 0, 29, 2000),
    ("30-60", 30, 60, 2100),
    ("61-90", 61, 90, 2200),
    ("91-120", 91, 120, 2300),
    ("121-180", 121, 180, 2400),
    ("180+", 181, None, 2500),
]
KINDS = {"frequent_segment": ("total_orders", FREQUENT), "recency_segment": ("days_since_last_order", RECENCY)}


@dataclass(frozen=True)
class Tables:
    """Writes the rows that a pipeline would."""

    database: str

    def publish(
        self,
        run_id: str = RUN,
        *,
        today: date | None = DAY,
        countries: Mapping[str, int] = {"Peru": 30, "Latvia": 90, "São Tomé": 6},
        kinds: Mapping[str, tuple[str, Sequence[Bounds]]] = KINDS,
        basis: str = "segment",
        tied: bool = False,
        uses: int | None = None,
        runner_up: tuple[Decimal | int | None, int | None] = (None, None),
        checked_at: datetime | None = None,
        data_to: datetime | None = DATA_TO,
        source: str = "s3://bucket/key",
        synthetic: Sequence[bool] = (),
    ) -> None:
        """Write a run and move the pointer to it.

        `countries` says how many rows each of their segments has, of which `uses` are of the amount, by default all.
        `synthetic` has a value for each part: whether it is the built-in sample.
        """
        now = datetime.now(UTC)
        segments = [
            (
                run_id,
                country,
                kind,
                label,
                place,
                measure,
                lower,
                upper,
                amount,
                uses or rows,
                rows,
                *runner_up,
                basis,
                tied,
            )
            for country, rows in countries.items()
            for kind, (measure, bounds) in kinds.items()
            for place, (label, lower, upper, amount) in enumerate(bounds)
        ]
        with closing(psycopg2.connect(self.database)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO voucher.run"
                " (run_id, source, rules_hash, segments_hash, today, data_to, started_at, planned_at, status)"
                " VALUES (%s, %s, 'rules', 'segments', %s, %s, %s, %s, 'published')",
                (run_id, source, today, data_to, now, now),
            )
            execute_values(
                cursor,
                "INSERT INTO voucher.segment (run_id, country_code, segment_name, segment, position, measure,"
                " lower_bound, upper_bound, voucher_amount, uses, rows, runner_up_amount, runner_up_uses, basis, tied)"
                " VALUES %s",
                segments,
            )
            execute_values(
                cursor,
                "WITH part AS (INSERT INTO voucher.part (uri, etag, size, sha256, synthetic) VALUES %s RETURNING part_id)"
                f" INSERT INTO voucher.run_part SELECT '{run_id}', part_id, '{run_id}' FROM part",
                [(f"{source}/{place}", run_id, 1, "sha", mark) for place, mark in enumerate(synthetic)],
            )
            self._point(cursor, run_id, checked_at or now)

    def point_to(self, run_id: str) -> None:
        with closing(psycopg2.connect(self.database)) as connection, connection, connection.cursor() as cursor:
            self._point(cursor, run_id, datetime.now(UTC))

    def _point(self, cursor: Any, run_id: str, checked_at: datetime) -> None:
        cursor.execute(
            "INSERT INTO voucher.current_run (run_id, published_at, checked_at, decided_at) VALUES (%s, now(), %s, now())"
            " ON CONFLICT (one_row) DO UPDATE SET (run_id, published_at, checked_at, decided_at) ="
            " (EXCLUDED.run_id, EXCLUDED.published_at, EXCLUDED.checked_at, EXCLUDED.decided_at)",
            (run_id, checked_at),
        )


def start(database: str, **settings: Any) -> Flask:
    """An app that logs in as the API's role."""
    return create_app(Settings(database_url=database_url(as_role(database, API)), **settings))


def stop(app: Flask) -> None:
    app.extensions["published"].stop()


NAMESPACE = ("unshare", "--map-root-user", "--mount")  # in which an ordinary user, too, may mount something


def full_disk(folder: Path | str) -> tuple[str, ...]:
    """What, put before a command, runs it where this folder is a file system of 256 kB that has no space left."""
    fill = 'mount -t tmpfs -o size=256k tmpfs "$0"; head -c 300000 /dev/zero > "$0/rest"; exec "$@"'
    return (*NAMESPACE, "sh", "-c", fill, str(folder))


@contextmanager
def served(
    database: str,
    *,
    prefix: Sequence[str] = (),
    stderr: int | IO[bytes] | None = None,
    **environ: str,
) -> Iterator[str]:
    """The address of the service as it is started, with one worker; `prefix` is the command that runs it."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [*prefix, sys.executable, "-m", "app", "--port", url.rpartition(":")[2]]
    env = os.environ | {"API_DATABASE_URL": as_role(database, API), "VOUCHER_WORKERS": "1"} | environ
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=stderr, stdout=subprocess.DEVNULL) as process:
        try:
            assert until(lambda: answers(url), 30)
            yield url
        finally:
            process.terminate()


def answers(url: str) -> bool:
    """Whether the service at this address is ready."""
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def failing(url: str) -> list[str]:
    """What fails, according to the service's readiness."""
    return list(requests.get(f"{url}/readyz", timeout=5).json()["failing"])


def ask_often(url: str) -> Counter[int]:
    """How many of 600 requests, more than a pipe holds lines of, have which status."""
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    with requests.Session() as session:
        return Counter(session.post(f"{url}/voucher", json=customer, timeout=5).status_code for _ in range(600))


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A server that a test may kill."""
    server = Postgres(tmp_path, free_port(), "secret", "another")
    server.start()
    migrate(server.url())
    yield server
    server.stop()
    server.remove()


@pytest.fixture
def tables(database: str) -> Tables:
    return Tables(database)


@pytest.fixture
def app(database: str) -> Iterator[Flask]:
    app = start(database)
    yield app
    stop(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def publish(app: Flask, tables: Tables) -> Callable[..., None]:
    """Publishes a run, and has the app look at once."""

    def publish(*args: Any, **options: Any) -> None:
        tables.publish(*args, **options)
        app.extensions["published"].refresh()

    return publish


@dataclass(frozen=True)
class Ask:
    """Posts a customer; a field of None is left out of the request."""

    client: FlaskClient

    def __call__(self, path: str = "/voucher", **fields: object) -> TestResponse:
        customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3} | fields
        return self.client.post(path, json={name: value for name, value in customer.items() if value is not None})

    def amount(self, **fields: object) -> object:
        """The voucher's amount, or the whole problem."""
        response = self(**fields)
        assert response.json
        return response.json["voucher_amount"] if response.status_code == 200 else response.json


@pytest.fixture
def ask(client: FlaskClient) -> Ask:
    return Ask(client)


@pytest.fixture(scope="session")
def standing_database(postgres: Postgres, template: str) -> str:
    """The URL of a database whose published run stays, for tests that only read."""
    postgres.create("standing", template)
    Tables(postgres.url("standing")).publish()
    return postgres.url("standing")


@pytest.fixture(scope="session")
def standing(standing_database: str) -> Iterator[Ask]:
    """Asks an app whose published run stays, for tests that only read."""
    app = start(standing_database)
    yield Ask(app.test_client())
    stop(app)
