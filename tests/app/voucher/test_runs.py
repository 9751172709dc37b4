"""Answers of a run that the request names: `POST /voucher?run=` and `/vouchers?run=`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.published import runs
from dev.processes import until
from dev.services.postgres import Postgres
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Ask, Tables, start, stop
from tests.app.outcomes import EFFECTS, POLICIES, draws

Publish = Callable[..., None]

OLD, NEW, MISSING = "a" * 16, "b" * 16, "c" * 16
OTHERS = {"frequent_segment": ("total_orders", [("0-9", 0, 9, 70), ("10+", 10, None, 80)])}
PATHS = ("/voucher", "/segmentation-voucher/", "/vouchers", "/vouchers.ndjson")
CUSTOMERS: list[dict[str, Any]] = [
    *({"segment_name": "frequent_segment", "total_orders": orders} for orders in (0, 7, 20, 99)),
    *({"segment_name": "recency_segment", "last_order_ts": f"2018-0{month}-03"} for month in (1, 4, 7)),
    {"segment_name": "frequent_segment", "total_orders": 20, "customer_id": 7},
]
# What the table says of a run, and what the service says: the published run is not the one that was asked.
STATUSES = [("published", "published"), ("withdrawn", "withdrawn"), ("rejected", "rejected"), ("loading", "planned")]


def post(client: FlaskClient, path: str, customers: list[dict[str, Any]], query: str = "") -> TestResponse:
    """Post the customers of Peru to a path, of which /voucher takes one."""
    given = [{"country_code": "Peru"} | customer for customer in customers]
    if path.startswith("/vouchers"):
        return client.post(f"{path}{query}", json=given)
    return client.post(f"{path}{query}", json=given[0])


def answers(client: FlaskClient, run: str | None = None) -> list[bytes]:
    """Return the bodies of /voucher and /vouchers for all customers."""
    query = f"?run={run}" if run else ""
    single = [post(client, "/voucher", [each], query) for each in CUSTOMERS]
    return [response.data for response in (*single, post(client, "/vouchers", CUSTOMERS, query))]


def refused(response: TestResponse) -> tuple[int, str]:
    assert response.mimetype == "application/problem+json"
    assert response.json
    return response.status_code, response.json["type"].removeprefix("urn:voucher-select:")


def test_a_run_answers_as_it_did_when_it_was_published(publish: Publish, client: FlaskClient) -> None:
    """A run that is no longer published answers byte for byte as it did, with its lottery, and so does the new one."""
    publish(OLD, draws=draws())
    before = answers(client)
    assert answers(client, OLD) == before
    publish(NEW, countries={"Peru": 9}, kinds=OTHERS)
    assert answers(client) != before
    assert answers(client, OLD) == before
    assert answers(client, NEW) == answers(client)


@pytest.mark.parametrize(("status", "said"), STATUSES)
@pytest.mark.parametrize("path", PATHS)
def test_a_run_says_what_it_is(
    publish: Publish, tables: Tables, client: FlaskClient, path: str, status: str, said: str
) -> None:
    """The header Voucher-Run-Status says what the named run is; without `run` there is no such header."""
    publish(NEW)
    tables.publish(OLD, status=status)
    tables.point_to(NEW)
    named, current, plain = (post(client, path, CUSTOMERS, query) for query in (f"?run={OLD}", f"?run={NEW}", ""))
    assert [response.status_code for response in (named, current, plain)] == [200, 200, 200]
    assert (named.headers["Voucher-Run"], named.headers["Voucher-Run-Status"]) == (OLD, said)
    assert (current.headers["Voucher-Run"], current.headers["Voucher-Run-Status"]) == (NEW, "current")
    assert plain.headers["Voucher-Run"] == NEW
    assert "Voucher-Run-Status" not in plain.headers


@pytest.mark.parametrize(
    ("status", "said", "sentence"),
    [
        ("published", "published", f" Run {OLD} is not live: it was published before."),
        ("withdrawn", "withdrawn", f" Run {OLD} is not live: it was withdrawn by a rollback."),
        ("rejected", "rejected", f" Run {OLD} is not live: it was rejected by its audits."),
        ("loading", "planned", f" Run {OLD} is not live: it is planned, but was never published."),
    ],
)
def test_an_explanation_says_what_its_run_is(
    publish: Publish, tables: Tables, ask: Ask, status: str, said: str, sentence: str
) -> None:
    """The explanation of another run has its status in a field and in the sentence; otherwise it is the same."""
    publish(OLD, effects=EFFECTS, policies=POLICIES)
    live = ask("/voucher?explain=true").json
    publish(NEW, kinds=OTHERS)
    CleanedRows(tables.database, OLD).execute(
        "UPDATE voucher.run SET status = %(to)s WHERE run_id = %(run)s", to=status
    )
    found = ask(f"/voucher?explain=true&run={OLD}").json
    assert (live["run_status"], found["run_status"]) == ("current", said)
    assert found["because"] == live["because"] + sentence
    own = {"run_status", "because", "published_at", "checked_at", "data_age_days"}
    assert {name for name in live if live[name] != found[name]} <= own


def test_an_explanation_has_the_times_of_its_run(publish: Publish, tables: Tables, ask: Ask) -> None:
    """`published_at` is the last publication, or null; `checked_at` is the last plan if the run is not published."""
    publish(NEW)
    tables.publish(OLD, status="loading")
    run = CleanedRows(tables.database, OLD)
    run.execute("UPDATE voucher.run SET planned_at = '2026-03-01 04:29Z' WHERE run_id = %(run)s")
    path = f"/voucher?explain=1&run={OLD}"
    found = ask(path).json
    assert (found["published_at"], found["checked_at"]) == (None, "2026-03-01T04:29:00Z")
    run.execute(
        "INSERT INTO voucher.publication (at, run_id, actor) VALUES ('2026-03-01 05:00Z', %(run)s, 'x'),"
        " ('2026-03-01 06:00Z', %(run)s, 'x')"
    )
    assert ask(path).json["published_at"] == "2026-03-01T06:00:00Z"


@pytest.mark.parametrize("path", PATHS)
def test_a_run_without_answers_is_refused(publish: Publish, tables: Tables, client: FlaskClient, path: str) -> None:
    """An unknown run is a 404, one that is being loaded a 409, and one without answers a 410 that names its status."""
    publish(NEW)
    assert refused(post(client, path, CUSTOMERS, f"?run={MISSING}")) == (404, "unknown-run")
    tables.publish(OLD, status="loading")
    run = CleanedRows(tables.database, OLD)
    run.execute("UPDATE voucher.run SET finished_at = NULL WHERE run_id = %(run)s")
    unfinished = post(client, path, CUSTOMERS, f"?run={OLD}")
    assert refused(unfinished) == (409, "run-unfinished")
    assert "Try again" in unfinished.json["detail"]
    run.execute("UPDATE voucher.run SET finished_at = now(), status = 'withdrawn' WHERE run_id = %(run)s")
    assert post(client, path, CUSTOMERS, f"?run={OLD}").status_code == 200
    run.execute(
        "DELETE FROM voucher.segment WHERE run_id = %(run)s;"
        " UPDATE voucher.run SET finished_at = now() + interval '1 second' WHERE run_id = %(run)s"
    )
    gone = post(client, path, CUSTOMERS, f"?run={OLD}")
    assert refused(gone) == (410, "no-answers")
    assert f"Run {OLD} (withdrawn) has no answers" in gone.json["detail"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("value", ["", "x", OLD.upper(), OLD[:5], f"{OLD}0", "%00"])
def test_a_run_that_cannot_be_is_a_bad_value(standing: Ask, path: str, value: str) -> None:
    """A value that is not a run's id gets a 422 that names the parameter, as in the other endpoints."""
    response = post(standing.client, path, CUSTOMERS, f"?run={value}")
    assert refused(response) == (422, "bad-value")
    assert response.json["errors"][0]["field"] == "run"
    assert "16 hexadecimal digits" in response.json["detail"]


def test_errors_in_a_customer_are_those_of_the_named_run(publish: Publish, client: FlaskClient) -> None:
    """Kinds and countries are checked against the named run."""
    publish(OLD)
    publish(NEW, kinds=OTHERS, countries={"Chile": 3})
    recency = {"country_code": "Peru", "segment_name": "recency_segment", "last_order_ts": "2018-05-03"}
    assert client.post("/voucher", json=recency).status_code == 422
    assert client.post(f"/voucher?run={OLD}", json=recency).status_code == 200
    orders = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    assert client.post("/voucher", json=orders).json["known"] == ["Chile"]
    assert client.post(f"/voucher?run={OLD}", json=orders | {"country_code": "Chile"}).json["known"] == [
        *("Latvia", "Peru", "São Tomé")
    ]


def test_only_the_runs_used_last_stay_in_memory(
    app: Flask, tables: Tables, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process reads a run once while it is among those used last, and again after it was loaded anew."""
    read: list[str] = []

    def counted(connection: Any, about: Any, currency: str) -> Any:
        read.append(about["run_id"])
        return wanted(connection, about, currency)

    wanted = runs.read_snapshot
    monkeypatch.setattr(runs, "read_snapshot", counted)
    ids = [f"{number:016x}" for number in range(runs.KEPT + 1)]
    for run_id in ids:
        tables.publish(run_id)
    for run_id in (*ids[:-1], ids[0], ids[-1], ids[0], ids[1]):
        assert post(client, "/voucher", CUSTOMERS, f"?run={run_id}").status_code == 200
    assert read == [*ids, ids[1]]  # ids[1] was used longest ago when the last one came
    later = datetime.now(UTC) + timedelta(minutes=1)
    CleanedRows(tables.database, ids[1]).execute(
        "UPDATE voucher.run SET finished_at = %(later)s WHERE run_id = %(run)s;"
        " UPDATE voucher.segment SET voucher_amount = 77 WHERE run_id = %(run)s",
        later=later,
    )
    assert post(client, "/voucher", CUSTOMERS, f"?run={ids[1]}").json == {"voucher_amount": 77}


def test_a_named_run_needs_postgres(own_postgres: Postgres) -> None:
    """While Postgres is down, `run` gets a 503 with Retry-After, and the published run still answers."""
    Tables(own_postgres.url()).publish(OLD)
    app = start(own_postgres.url(), poll_seconds=0.05)
    client = app.test_client()
    try:
        assert post(client, "/voucher", CUSTOMERS, f"?run={OLD}").status_code == 200
        own_postgres.kill()
        assert until(lambda: client.get("/readyz").json["failing"] == ["database"], 5)
        away = post(client, "/voucher", CUSTOMERS, f"?run={OLD}")
        assert (*refused(away), away.headers["Retry-After"]) == (503, "database-away", "5")
        assert post(client, "/voucher", CUSTOMERS).status_code == 200
        own_postgres.start()
        assert until(lambda: post(client, "/voucher", CUSTOMERS, f"?run={OLD}").status_code == 200, 5)
    finally:
        stop(app)


def test_a_run_can_be_tried_before_the_first_one_is_published(tables: Tables, client: FlaskClient) -> None:
    """A planned run answers even if nothing was ever published."""
    tables.publish(OLD, status="loading")
    assert post(client, "/voucher", CUSTOMERS).status_code == 503
    assert post(client, "/voucher", CUSTOMERS, f"?run={OLD}").json == {"voucher_amount": 1000}
