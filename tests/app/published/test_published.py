"""How a published run is loaded into memory, and what is answered before the first run or without Postgres."""

import json
from collections.abc import Callable
from contextlib import closing
from html import unescape
from threading import enumerate as threads
from urllib.parse import urlsplit

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.settings import Settings, database_url
from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from tests.app.conftest import Ask, Tables, start, stop
from tests.conftest import API, as_role

Publish = Callable[..., None]

FLAT = {"frequent_segment": ("total_orders", [("0+", 0, None, 7)])}
OTHER = {"frequent_segment": ("total_orders", [("few", 0, 1, 8), ("more", 2, None, 8)])}


def test_a_new_run_is_served_within_a_second(tables: Tables, ask: Ask) -> None:
    """The app loads a newly published run by itself within a second, without a restart."""
    tables.publish()
    assert until(lambda: ask().status_code == 200, 1, every=0.02), ask().text
    tables.publish("b" * 16, kinds=FLAT)
    assert until(lambda: ask().json == {"voucher_amount": 7}, 1, every=0.02), ask().text
    tables.point_to("a" * 16)
    assert until(lambda: ask().json == {"voucher_amount": 1000}, 1, every=0.02), ask().text


def test_no_snapshot_mixes_two_runs(app: Flask, tables: Tables) -> None:
    """Each snapshot has the segments of its own run, however often the published run changes."""
    published = app.extensions["published"]
    tables.publish("a" * 16, kinds=FLAT)
    tables.publish("b" * 16, kinds=OTHER)
    amounts = {"a" * 16: {7}, "b" * 16: {8}}
    seen = set()
    for turn in range(20):
        tables.point_to("ab"[turn % 2] * 16)
        published.refresh()
        run = published.snapshot
        assert {int(row.voucher_amount) for row in run.segments} == amounts[run.run_id]
        seen.add(run.run_id)
    assert seen == set(amounts)


def test_a_run_that_cannot_be_read_does_not_end_the_following(tables: Tables, database: str, ask: Ask) -> None:
    """If a run cannot be read, the previous answers stay, readiness reports `database`, and the next run is loaded."""
    tables.publish()
    assert until(lambda: ask().status_code == 200, 1, every=0.02), ask().text
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE voucher.current_run SET checked_at = '20000-01-01'")  # more than a datetime can hold
    assert until(lambda: ask.client.get("/readyz").json["failing"] == ["database"], 10)
    assert ask.amount() == 1000
    tables.publish("b" * 16, kinds=FLAT)
    assert until(lambda: ask().json == {"voucher_amount": 7}, 5), ask().text
    assert ask.client.get("/readyz").json["failing"] == []


@pytest.mark.parametrize(
    ("change", "happened", "remedy"),
    [
        ("password", "Postgres refused the password", "correct it in API_DATABASE_URL"),
        ("name", "Postgres does not have the database of API_DATABASE_URL", "create it"),
        ("port", "Postgres does not answer (connection refused)", "check API_DATABASE_URL and that it runs"),
        ("options", "a parameter of API_DATABASE_URL cannot be used", "check the names and values"),
        ("tables", "Postgres lacks the tables (", "run `python -m pipeline migrate`"),
    ],
)
def test_a_database_that_was_never_read_is_told_from_one_without_a_run(
    postgres: Postgres, database: str, capfd: pytest.CaptureFixture[str], change: str, happened: str, remedy: str
) -> None:
    """The log states reason and remedy, the problem and the page the reason; none reveals values of the URL."""
    url = {
        "password": as_role(database, API, "hunter2Secret"),
        "name": as_role(database, API).replace(urlsplit(database).path, "/hunter2Secret"),
        "port": as_role(database, API, "hunter2Secret").replace(str(urlsplit(database).port), str(free_port())),
        "options": f"{as_role(database, API)}?options=-c%20hunter2Secret%3Dx",
        "tables": postgres.admin_url(),
    }[change]
    app = create_app(Settings(database_url=database_url(url)))
    try:
        ask = Ask(app.test_client())
        problem, page = ask(), unescape(ask.client.get("/").text)
    finally:
        stop(app)
    assert (problem.status_code, problem.json["type"]) == (503, "urn:voucher-select:database-away")
    assert happened in problem.json["detail"]
    assert "Voucher_Select" not in problem.json["detail"]
    assert happened in page
    assert "Nothing is published yet" not in page
    written = capfd.readouterr().err
    (line,) = [json.loads(line) for line in written.splitlines() if "database unavailable" in line]
    assert line["reason"].startswith(happened)
    assert remedy in line["reason"]
    assert "hunter2Secret" not in problem.text + page + written


def test_a_stopped_app_leaves_no_thread(database: str) -> None:
    """The app has one thread while it runs, and none after it is stopped."""
    before = set(threads())
    app = start(database)
    assert [thread.name for thread in set(threads()) - before] == ["published"]
    stop(app)
    assert set(threads()) <= before


def test_errors_come_in_one_order(publish: Publish, client: FlaskClient) -> None:
    """Errors are checked in the order 415, 413, 400, 422, 503, 404: each correction reveals the next one."""

    def status(body: str, content_type: str = "application/json") -> int:
        return client.post("/voucher", data=body, content_type=content_type).status_code

    nowhere = '{"country_code": "Atlantis", "segment_name": "frequent_segment", "total_orders": 3}'
    assert status("{" * 70_000, "text/plain") == 415
    assert status("{" * 70_000) == 413
    assert status("{") == 400
    assert status(nowhere.replace("3", '"3"')) == 422
    assert status(nowhere) == 503
    publish()
    assert status(nowhere.replace("frequent", "other")) == 422
    assert status(nowhere) == 404
