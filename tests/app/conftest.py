"""Apps, each on its own database, and published runs that are written as rows, without the pipeline."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.test import TestResponse

from app import create_app
from app.settings import Settings, database_url
from dev.ports import free_port
from dev.services.postgres import Postgres
from proofs.support.environment import API, as_role, migrate
from proofs.support.published_tables import DATA_TO, DAY, KINDS, RUN, Tables
from proofs.support.served import NAMESPACE, answers, failing, full_disk, served

__all__ = ["DATA_TO", "DAY", "KINDS", "NAMESPACE", "RUN", "Tables", "answers", "failing", "full_disk", "served"]


class CompiledTemplates(BytecodeCache):
    """Keeps the templates that an app has compiled for the apps of other tests."""

    def __init__(self) -> None:
        self.compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self.compiled.get(bucket.key + bucket.checksum):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.compiled[bucket.key + bucket.checksum] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()


def start(database: str, **settings: Any) -> Flask:
    """Return an app that connects as the API's role."""
    app = create_app(Settings(database_url=database_url(as_role(database, API)), **settings))
    app.jinja_env.bytecode_cache = COMPILED
    return app


def stop(app: Flask) -> None:
    app.extensions["published"].stop()


def ask_often(url: str) -> Counter[int]:
    """Send 600 requests, whose log lines exceed a pipe's buffer, and return how many got each status."""
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    with requests.Session() as session:
        return Counter(session.post(f"{url}/voucher", json=customer, timeout=5).status_code for _ in range(600))


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """Yield a Postgres server that the test may kill."""
    with Postgres(tmp_path, free_port(), "secret", "another").running() as server:
        migrate(server.url())
        yield server


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
    """Return a function that publishes a run and makes the app load it at once."""

    def publish(*args: Any, **options: Any) -> None:
        tables.publish(*args, **options)
        app.extensions["published"].refresh()

    return publish


@dataclass(frozen=True)
class Ask:
    """Posts a customer. Fields that are None are omitted."""

    client: FlaskClient

    def __call__(self, path: str = "/voucher", **fields: object) -> TestResponse:
        customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3} | fields
        return self.client.post(path, json={name: value for name, value in customer.items() if value is not None})

    def amount(self, **fields: object) -> object:
        """Return the amount, or the problem if the status is not 200."""
        response = self(**fields)
        assert response.json
        return response.json["voucher_amount"] if response.status_code == 200 else response.json


@pytest.fixture
def ask(client: FlaskClient) -> Ask:
    return Ask(client)


@pytest.fixture(scope="session")
def standing_database(postgres: Postgres, template: str) -> str:
    """Return the URL of a database whose published run never changes, for tests that only read."""
    postgres.create("standing", template)
    Tables(postgres.url("standing")).publish()
    return postgres.url("standing")


@pytest.fixture(scope="session")
def standing(standing_database: str) -> Iterator[Ask]:
    """Yield an Ask for an app whose published run never changes, for tests that only read."""
    app = start(standing_database)
    yield Ask(app.test_client())
    stop(app)
