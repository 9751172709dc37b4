"""The published tables over HTTP: segments, rules and runs."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dev.processes import until
from dev.services.postgres import Postgres
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import DATA_TO, KINDS, RUN, Ask, Tables, start, stop

Publish = Callable[..., None]

OTHER = "b" * 16
BEGAN = datetime(2026, 3, 1, 4, 29, tzinfo=UTC)


def refused(response: TestResponse) -> tuple[int, str]:
    """Return status and type of a problem. Fail if the response is not a problem."""
    assert response.mimetype == "application/problem+json", response.text
    assert response.status_code == response.json["status"]
    return response.status_code, response.json["type"].removeprefix("urn:voucher-select:")


@pytest.fixture
def client_still(standing: Ask) -> FlaskClient:
    """Return a client of an app whose published run never changes."""
    return standing.client


def test_segments_are_the_published_table(publish: Publish, client: FlaskClient) -> None:
    """/segments has every column under its name, ordered by country, kind and position, and the data of the run."""
    publish(countries={"Peru": 30, "Latvia": 90}, titles={"recency_segment": {"180+": "lapsed"}})
    response = client.get("/segments")
    assert (response.status_code, response.headers["Voucher-Run"], response.json["run_id"]) == (200, RUN, RUN)
    assert (response.json["today"], response.json["data_to"]) == ("2018-07-15", "2018-07-14T21:00:00Z")
    found = response.json["segments"]
    assert [row["country_code"] for row in found] == ["Latvia"] * 10 + ["Peru"] * 10
    assert [
        (row["segment_name"], row["segment"], row["lower_bound"], row["upper_bound"], row["voucher_amount"])
        for row in found[:10]
    ] == [(kind, *bounds) for kind, (_, segments) in KINDS.items() for bounds in segments]
    assert found[-1] == {
        **{"country_code": "Peru", "segment_name": "recency_segment", "segment": "180+", "position": 5},
        **{"measure": "days_since_last_order", "lower_bound": 181, "upper_bound": None, "voucher_amount": 2500},
        **{"uses": 30, "rows": 30, "runner_up_amount": None, "runner_up_uses": None, "basis": "segment", "tied": False},
        **{"share": 1.0, "sends": None, "share_low": None, "share_high": None, "clear": None},
        **{"title": "lapsed", "kind_title": "Days since the last order"},
        **{"mean_amount": 2500, "currency": "PEN", "currency_basis": "country"},
    }


def test_segments_show_their_evidence(publish: Publish, tables: Tables, client: FlaskClient) -> None:
    """Each segment has its votes, share and runner-up; amounts are numbers without trailing zeros."""
    publish(
        kinds={"frequent_segment": ("total_orders", [("0+", 0, None, Decimal("2640.50"))])},
        countries={"Peru": 3},
        tied=True,
    )
    CleanedRows(tables.database).execute(
        "UPDATE voucher.segment SET uses = 1, runner_up_amount = 3080, runner_up_uses = 1"
    )
    publish(
        OTHER,
        kinds={"frequent_segment": ("total_orders", [("0+", 0, None, 7)])},
        countries={"Peru": 0},
        basis="country",
    )
    tables.point_to(RUN)
    assert until(lambda: client.get("/segments").json["run_id"] == RUN, 5)
    [row] = client.get("/segments").json["segments"]
    assert (row["voucher_amount"], row["uses"], row["rows"], row["share"], row["tied"]) == (2640.5, 1, 3, 0.3333, True)
    assert (row["runner_up_amount"], row["runner_up_uses"]) == (3080, 1)
    tables.point_to(OTHER)
    assert until(lambda: client.get("/segments").json["run_id"] == OTHER, 5)
    [row] = client.get("/segments").json["segments"]
    assert (row["uses"], row["rows"], row["share"], row["basis"]) == (0, 0, None, "country")


def test_segments_say_how_sure_they_are(publish: Publish, client: FlaskClient) -> None:
    """JSON and CSV have the sends, the interval of the share to four digits, and whether the lead is clear."""
    publish(countries={"Peru": 30}, uses=20, runner_up=(3520, 7), evidence=(12, 0.601234, 0.732177, False))
    row = client.get("/segments").json["segments"][0]
    assert (row["sends"], row["share_low"], row["share_high"], row["clear"]) == (12, 0.6012, 0.7322, False)
    line = client.get("/segments.csv").text.splitlines()[1]
    assert line.endswith(",0.6667,12,0.6012,0.7322,false,,Number of orders,2488,PEN,country")


@pytest.mark.parametrize("country", ["Latvia", "latvia", "%20LATVIA%09"])
@pytest.mark.parametrize("path", ["/segments", "/segments.csv"])
def test_segments_of_one_country(client_still: FlaskClient, path: str, country: str) -> None:
    """The country matches as it does in a request to /voucher."""
    response = client_still.get(f"{path}?country={country}")
    found = response.json["segments"] if response.is_json else table(response)
    assert {row["country_code"] for row in found} == {"Latvia"}
    assert len(found) == 10


@pytest.mark.parametrize("path", ["/segments", "/segments.csv"])
def test_segments_of_an_unknown_country(client_still: FlaskClient, path: str) -> None:
    """An unknown country gets a 404 that lists the known ones; a blank one gets a 422."""
    response = client_still.get(f"{path}?country=Atlantis<b>")
    assert refused(response) == (404, "unknown-country")
    assert response.json["known"] == ["Latvia", "Peru", "São Tomé"]
    assert b"<" not in response.data
    blank = client_still.get(f"{path}?country=%20")
    assert refused(blank) == (422, "bad-value")
    assert blank.json["detail"] == "country must be text and not blank."


def table(response: TestResponse) -> list[dict[str, str]]:
    assert response.content_type == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def test_segments_are_csv_by_path_or_by_accept(client_still: FlaskClient) -> None:
    """The CSV has the same columns in the same order as the JSON, and null is empty."""
    by_path = client_still.get("/segments.csv")
    by_accept = client_still.get("/segments", headers={"Accept": "text/csv"})
    assert by_path.data == by_accept.data
    assert by_path.headers["Voucher-Run"] == by_accept.headers["Voucher-Run"] == RUN
    shown = client_still.get("/segments").json["segments"]
    assert by_path.text.startswith(",".join(shown[0]) + "\r\n")
    as_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in shown]
    assert [row | {"tied": row["tied"].capitalize()} for row in table(by_path)] == as_text


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        *(("", "application/json"), ("*/*", "application/json"), ("image/png", "application/json")),
        *(("text/csv, */*;q=0.1", "text/csv"), ("application/json, text/csv", "application/json")),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
    ],
)
def test_who_asks_for_nothing_special_gets_json(client_still: FlaskClient, accept: str, mimetype: str) -> None:
    """JSON is the default format; the Vary header tells caches that it depends on Accept."""
    response = client_still.get("/segments", headers={"Accept": accept})
    assert (response.status_code, response.mimetype) == (200, mimetype)
    assert "Accept" in response.headers["Vary"]


def test_a_country_that_calculates_does_so_nowhere(publish: Publish, client: FlaskClient) -> None:
    """A country that a spreadsheet would treat as a formula is prefixed with `'` in CSV, and unchanged in JSON."""
    publish(countries={"=cmd()": 5})
    assert client.get("/segments").json["segments"][0]["country_code"] == "=cmd()"
    assert client.get("/segments.csv").text.splitlines()[1].startswith("'=cmd(),")


def write_rules(tables: Tables, run_id: str, rules: list[tuple[Any, ...]], met: list[tuple[Any, ...]]) -> None:
    run = CleanedRows(tables.database, run_id)
    run.execute("UPDATE voucher.run SET rows_in = 1000, rows_kept = 850 WHERE run_id = %(run)s")
    for rule in rules:
        run.execute(
            "INSERT INTO voucher.rule VALUES (%(run)s, %(a)s, %(b)s, %(c)s, %(d)s, 0, 0.15)",
            **dict(zip("abcd", rule, strict=True)),
        )
    for outcome in met:
        run.execute(
            "INSERT INTO voucher.rule_outcome VALUES (%(run)s, %(a)s, %(b)s, %(c)s, %(d)s, %(e)s)",
            **dict(zip("abcde", outcome, strict=True)),
        )


RULES = [
    (2, "missing_total_orders", "total_orders IS NULL", "No segment."),
    (1, "missing_country_code", None, "No country."),
]
MET = [
    *(("Peru", "missing_total_orders", 70, 60, "a row"), ("Latvia", "missing_total_orders", 30, 30, None)),
    *(("Peru", "missing_country_code", 0, 0, None), ("", "missing_country_code", 60, 60, "another")),
]


def test_rules_say_what_was_dropped_and_why(publish: Publish, tables: Tables, client: FlaskClient) -> None:
    """/rules lists the rules in order, each with its counts in total and per country."""
    publish()
    write_rules(tables, RUN, RULES, MET)
    response = client.get("/rules")
    assert (response.status_code, response.headers["Voucher-Run"]) == (200, RUN)
    body = dict(response.json)
    first, second = body.pop("rules")
    assert body == {"run_id": RUN, "rows_in": 1000, "rows_kept": 850}
    assert (first["name"], first["drop_when"], first["matched"], first["countries"][0]) == (
        *("missing_country_code", None, 60),
        {"country_code": "", "matched": 60, "dropped": 60, "example": "another"},
    )
    assert second == {
        **{
            "position": 2,
            "name": "missing_total_orders",
            "drop_when": "total_orders IS NULL",
            "because": "No segment.",
        },
        **{"share_low": 0, "share_high": 0.15, "matched": 100, "dropped": 90, "share": 0.1},
        "countries": [
            {"country_code": "Latvia", "matched": 30, "dropped": 30, "example": None},
            {"country_code": "Peru", "matched": 70, "dropped": 60, "example": "a row"},
        ],
    }


def test_rules_of_another_run(publish: Publish, tables: Tables, client: FlaskClient) -> None:
    """/rules returns the rules of the requested run; the shares are null if the run has no row counts."""
    publish()
    write_rules(tables, RUN, RULES, MET)
    publish(OTHER)
    assert client.get("/rules").json == {"run_id": OTHER, "rows_in": None, "rows_kept": None, "rules": []}
    response = client.get(f"/rules?run={RUN}")
    assert (len(response.json["rules"]), response.headers["Voucher-Run"]) == (2, RUN)
    CleanedRows(tables.database).execute("UPDATE voucher.run SET rows_in = NULL")
    assert client.get(f"/rules?run={RUN}").json["rules"][0]["share"] is None


def test_rules_of_a_run_that_is_not_there(client_still: FlaskClient) -> None:
    """An unknown run gets a 404; an invalid run id gets a 422."""
    assert refused(client_still.get(f"/rules?run={OTHER}")) == (404, "unknown-run")
    assert refused(client_still.get("/rules?run=x")) == (422, "bad-value")


@pytest.fixture
def five(publish: Publish, tables: Tables) -> list[str]:
    """Publish five runs, the last two with the same start time, and return their ids, newest first."""
    run_ids = [letter * 16 for letter in "abcde"]
    for number, run_id in enumerate(run_ids):
        publish(run_id)
        began = BEGAN + timedelta(minutes=min(number, 3))
        CleanedRows(tables.database, run_id).execute(
            "UPDATE voucher.run SET started_at = %(began)s, finished_at = %(began)s WHERE run_id = %(run)s", began=began
        )
    return run_ids[::-1]


def test_runs_are_listed_newest_first(five: list[str], tables: Tables, client: FlaskClient) -> None:
    """/runs lists runs, newest first, marks the current one and shows when each was last published."""
    oldest = CleanedRows(tables.database, five[-1])
    for minutes in (2, 1):
        oldest.execute(
            "INSERT INTO voucher.publication (at, run_id, actor) VALUES (%(at)s, %(run)s, 'x')",
            at=BEGAN + timedelta(minutes=minutes),
        )
    response = client.get("/runs")
    assert (response.status_code, response.json["next"]) == (200, None)
    found = response.json["runs"]
    assert [run["run_id"] for run in found] == five
    assert [run["current"] for run in found] == [True, False, False, False, False]
    assert found[-1] == {
        **{
            "run_id": five[-1],
            "current": False,
            "status": "published",
            "source": "s3://bucket/key",
            "sample": False,
            "today": "2018-07-15",
        },
        **{"rows_in": None, "rows_kept": None, "data_from": None, "data_to": "2018-07-14T21:00:00Z"},
        **{"started_at": "2026-03-01T04:29:00Z", "finished_at": "2026-03-01T04:29:00Z"},
        **{"published_at": "2026-03-01T04:31:00Z"},
    }


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 100])
def test_runs_come_in_pages(five: list[str], client: FlaskClient, limit: int) -> None:
    """Each page links to the next one; no run is lost or repeated, even if two have the same start time."""
    found, path = [], f"/runs?limit={limit}"
    while path:
        page = client.get(path).json
        assert 1 <= len(page["runs"]) <= limit
        found += [run["run_id"] for run in page["runs"]]
        path = page["next"]
    assert found == five


def test_no_runs_are_an_empty_list(client: FlaskClient) -> None:
    """Before the first run, the list is empty, which is not an error."""
    assert client.get("/runs").json == {"runs": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=\u0663",
        "limit=" + "9" * 5000,
        "before=x",
        "before=",
    ],
)
def test_a_page_that_cannot_be_is_a_bad_value(client_still: FlaskClient, query: str) -> None:
    """An invalid parameter of /runs gets a 422 that names it; long values are truncated."""
    response = client_still.get(f"/runs?{query}")
    assert refused(response) == (422, "bad-value")
    assert response.json["errors"][0]["field"] == query.partition("=")[0]
    assert len(response.data) < 1000


def test_runs_before_an_unknown_one(client_still: FlaskClient) -> None:
    """An unknown run in `before` gets a 404 instead of an empty list."""
    assert refused(client_still.get(f"/runs?before={OTHER}")) == (404, "unknown-run")


def test_a_run_tells_where_its_rows_are_from_and_how_it_was_published(
    publish: Publish, tables: Tables, client: FlaskClient
) -> None:
    """/runs/{run_id} has the run's files, audits and publications, including those that replaced it, newest first."""
    publish()
    publish(OTHER)
    run = CleanedRows(tables.database)
    run.part()
    run.execute(
        "INSERT INTO voucher.audit_outcome VALUES (%(run)s, 'rows_kept', 'fail', true, 'at least one', '7', %(other)s)",
        other=OTHER,
    )
    for minute, (to, previous, action, reason) in enumerate(
        [(RUN, None, "publish", None), (OTHER, RUN, "force", "why not"), (RUN, OTHER, "rollback", "that's why")]
    ):
        run.execute(
            "INSERT INTO voucher.publication (at, run_id, previous_run_id, actor, action, reason) VALUES (%(at)s, %(to)s, %(previous)s, 'me', %(action)s, %(reason)s)",
            **{
                "at": BEGAN + timedelta(minutes=minute),
                "to": to,
                "previous": previous,
                "action": action,
                "reason": reason,
            },
        )
    found = client.get(f"/runs/{RUN}").json
    assert (found["run_id"], found["current"], found["rules_hash"], found["segments_hash"]) == (
        RUN,
        False,
        "rules",
        "segments",
    )
    assert found["data_to"] == DATA_TO.isoformat().replace("+00:00", "Z")
    assert found["published_at"] == found["publications"][0]["at"]
    [part] = found["parts"]
    assert part == {"uri": "s3://bucket/key", "etag": part["etag"], "size": 1, "sha256": "sha"}
    assert found["audits"] == [
        {
            "audit": "rows_kept",
            "severity": "fail",
            "passed": True,
            "expected": "at least one",
            "seen": "7",
            "compared_with": OTHER,
        }
    ]
    assert found["publications"] == [
        {
            "at": "2026-03-01T04:31:00Z",
            "action": "rollback",
            "forward": False,
            "actor": "me",
            "reason": "that's why",
            "run_id": RUN,
            "previous_run_id": OTHER,
        },
        {
            "at": "2026-03-01T04:30:00Z",
            "action": "force",
            "forward": False,
            "actor": "me",
            "reason": "why not",
            "run_id": OTHER,
            "previous_run_id": RUN,
        },
        {
            "at": "2026-03-01T04:29:00Z",
            "action": "publish",
            "forward": False,
            "actor": "me",
            "reason": None,
            "run_id": RUN,
            "previous_run_id": None,
        },
    ]


@pytest.mark.parametrize("run_id", [OTHER, RUN.upper(), RUN + "a", "x", "%00", "'--", "%3Cb%3E", "x" * 5000])
def test_a_run_that_is_not_there(client_still: FlaskClient, run_id: str) -> None:
    """An unknown run gets a 404, and so does an invalid run id."""
    response = client_still.get(f"/runs/{run_id}")
    assert refused(response) == (404, "unknown-run")
    assert b"<" not in response.data
    assert len(response.data) < 1000


@pytest.mark.parametrize("path", ["/segments", "/segments.csv", "/rules"])
def test_nothing_published_is_told(client: FlaskClient, path: str) -> None:
    """Before the first publication, the tables get a 503."""
    response = client.get(path)
    assert refused(response) == (503, "nothing-published")


@pytest.mark.parametrize("path", ["/segments", "/segments.csv", "/rules", "/runs", f"/runs/{RUN}"])
def test_head_tells_what_get_would(client_still: FlaskClient, path: str) -> None:
    """HEAD returns the headers of GET without a body."""
    asked = {"X-Request-Id": "the-same"}
    head, whole = client_still.head(path, headers=asked), client_still.get(path, headers=asked)
    assert (head.status_code, head.data, head.headers) == (200, b"", whole.headers)


def test_tables_that_were_never_made_are_no_fault_of_the_request(postgres: Postgres) -> None:
    """A database without tables counts as unavailable and gets a 503."""
    app = start(postgres.url("postgres"))
    try:
        assert refused(app.test_client().get("/runs")) == (503, "database-away")
    finally:
        stop(app)


def test_the_documented_answers_have_the_shape_of_real_ones(client_still: FlaskClient) -> None:
    """The examples in the document have the fields of real responses."""
    paths = client_still.get("/openapi.json").json["paths"]
    for path in ("/segments", "/rules", "/runs"):
        example = paths[path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        assert sorted(example) == sorted(client_still.get(path).json)
    example = paths["/segments.csv"]["get"]["responses"]["200"]["content"]["text/csv"]["example"]
    assert example.splitlines()[0] == client_still.get("/segments.csv").text.splitlines()[0]
