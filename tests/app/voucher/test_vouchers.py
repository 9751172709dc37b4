"""Bulk requests: each customer gets the answer of /voucher, in order and from one run."""

import gzip
import json
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.web.streams import Slots, TooManyCallsError
from tests.app.conftest import RUN, Ask, Tables

Publish = Callable[..., None]

GOOD = '{"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}'
BETTER = GOOD.replace("3", "14")
MOST_BYTES = 4 * 1024 * 1024
NDJSON = "application/x-ndjson"


def post(
    client: FlaskClient, body: str | bytes, content_type: str | None = "application/json", query: str = ""
) -> TestResponse:
    return client.post(f"/vouchers{query}", data=body, content_type=content_type)


@pytest.fixture
def client(standing: Ask) -> FlaskClient:
    """Return the client of the shared app, because few tests here write."""
    return standing.client


def test_customers_are_answered_in_their_order(client: FlaskClient) -> None:
    """Each customer gets an amount or a problem with its status, in order; the response itself has status 200."""
    response = post(client, f"[{BETTER}, 7, {GOOD}]")
    assert (response.status_code, response.mimetype, response.headers["Voucher-Run"]) == (200, "application/json", RUN)
    better, wrong, good = response.json
    assert (better, good) == ({"voucher_amount": 1200}, {"voucher_amount": 1000})
    assert (wrong["status"], wrong["type"]) == (400, "urn:voucher-select:broken-json")


@pytest.mark.parametrize(
    "media_type", ["application/x-ndjson", "application/jsonl", "application/x-ndjson; charset=utf-8"]
)
def test_lines_are_answered_by_lines(client: FlaskClient, media_type: str) -> None:
    """An invalid line gets a problem of its own; blank lines are skipped, with either line ending."""
    response = post(client, f"\n{BETTER}\r\n \t\n{{\n{GOOD}", media_type)
    assert (response.status_code, response.mimetype) == (200, media_type.split(";", maxsplit=1)[0])
    assert response.data.endswith(b"}\n")
    better, broken, good = map(json.loads, response.data.splitlines())
    assert (better, good) == ({"voucher_amount": 1200}, {"voucher_amount": 1000})
    assert broken["status"] == 400


@pytest.mark.parametrize(
    ("body", "media_type"), [("[]", "application/json"), (" [ ] ", "application/json"), ("", NDJSON), ("\n\n", NDJSON)]
)
def test_nobody_is_answered_nothing(client: FlaskClient, body: str, media_type: str) -> None:
    """An empty request gets an empty response, not an error."""
    response = post(client, body, media_type)
    assert (response.status_code, response.data.strip()) == (200, b"[]" if media_type == "application/json" else b"")


@pytest.mark.parametrize("media_type", ["application/json", NDJSON])
def test_each_answer_can_be_explained(client: FlaskClient, media_type: str) -> None:
    """Each explanation is the same as that of /voucher."""
    body = f"{GOOD}\n{BETTER}" if media_type == NDJSON else f"[{GOOD},{BETTER}]"
    text = post(client, body, media_type, "?explain=true").text
    found = [json.loads(line) for line in text.splitlines()] if media_type == NDJSON else json.loads(text)
    for one, customer in zip(found, (GOOD, BETTER), strict=True):
        alone = client.post("/voucher?explain=true", data=customer, content_type="application/json").json
        assert one | {"data_age_days": None} == alone | {"data_age_days": None}


# JSON that parsers read differently: in NDJSON only its line is refused, in an array the whole request.
UNREADABLE = [
    '{"country_code": "Peru", "country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}',
    '{"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3, "x": [{"a": 1, "a": 2}]}',
    '{"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": ' + "9" * 5000 + "}",
]


@pytest.mark.parametrize("odd", ["NaN", '"]"', '["a,", "]"]', "[]", "{}", *UNREADABLE])
def test_one_odd_customer_does_not_spoil_the_others(client: FlaskClient, odd: str) -> None:
    """An invalid customer gets the problem of /voucher and the others are answered; an unreadable array is refused."""
    alone = client.post("/voucher", data=odd, content_type="application/json")
    assert alone.status_code in (400, 422)
    lines = post(client, f"{GOOD}\n{odd}\n{BETTER}", NDJSON).text.splitlines()
    assert [*map(json.loads, lines)] == [{"voucher_amount": 1000}, alone.json, {"voucher_amount": 1200}]
    array = post(client, f"[{GOOD} ,{odd}\n,\t{BETTER}]")
    assert array.json == (alone.json if odd in UNREADABLE else [*map(json.loads, lines)])


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[", f"[{GOOD}", f"[{GOOD},]", f"[{GOOD} {GOOD}]", f"{GOOD}\n{GOOD}", f"[{GOOD}]]", "[{'a': 1}]"),
        *(GOOD, "null", "7", '"[]"', "[" * 100_000, '[{"a":' * 100_000, '[{"a": 1, "a": 2},]', '{"a": 1, "a": 2}'),
        *(b"\xff", b"[\xff]", "[]".encode("utf-16"), b"\x00"),
    ],
)
def test_a_body_that_is_no_array_is_refused_as_a_whole(client: FlaskClient, body: str | bytes) -> None:
    """A body that is invalid, too deep, not UTF-8 or not an array gets a 400, and the next request is answered."""
    response = post(client, body)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert post(client, f"[{GOOD}]").json == [{"voucher_amount": 1000}]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/ndjsonx"]
)
def test_only_json_and_its_lines_are_taken(client: FlaskClient, content_type: str | None) -> None:
    """Any other content type gets a 415 that says what to send."""
    response = post(client, "[]", content_type)
    assert (response.status_code, response.mimetype) == (415, "application/problem+json")
    assert "application/x-ndjson" in response.json["detail"]


@pytest.mark.parametrize(
    ("join", "media_type"), [(lambda c: f"[{','.join(c)}]", "application/json"), ("\n".join, NDJSON)]
)
def test_a_call_may_have_10_000_customers(
    client: FlaskClient, join: Callable[[list[str]], str], media_type: str
) -> None:
    """A request with 10,000 customers is answered; one more customer gets a 413."""
    response = post(client, join([GOOD] * 10_000), media_type)
    assert (response.status_code, response.text.count('{"voucher_amount":1000}')) == (200, 10_000)
    response = post(client, join([GOOD] * 10_001), media_type)
    assert (response.status_code, response.mimetype) == (413, "application/problem+json")
    assert "10,000" in response.json["detail"]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_call_may_have_4_mib(client: FlaskClient, more: int, status: int, chunked: bool) -> None:
    """A body of 4 MiB is accepted and one more byte gets a 413, with or without a Content-Length."""
    body = f"[{GOOD}{' ' * (MOST_BYTES - len(GOOD) - 2 + more)}]".encode()
    environ: dict[str, Any] = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    sent = {"environ_overrides": environ} if chunked else {"data": body}
    response = client.post("/vouchers", content_type="application/json", **sent)
    assert response.status_code == status
    assert status == 200 or str(MOST_BYTES) in response.json["detail"]


def test_nothing_published_is_told_once(app: Flask) -> None:
    """If nothing is published, a valid request gets a single 503; invalid ones still get a 400 or 422."""
    client = app.test_client()
    assert post(client, "{").status_code == 400
    assert post(client, "[]", query="?explain=x").status_code == 422
    assert post(client, f"[{GOOD}]").status_code == 503


def test_a_call_is_answered_from_one_run(app: Flask, tables: Tables) -> None:
    """While the published run changes, all amounts of a response come from the run that its header names."""
    amounts = {"a" * 16: 1, "b" * 16: 2}
    for run, amount in amounts.items():
        tables.publish(run, kinds={"frequent_segment": ("total_orders", [("0+", 0, None, amount)])})
    published, body, done = app.extensions["published"], f"[{','.join([GOOD] * 10_000)}]", threading.Event()

    def publish_again_and_again() -> None:
        while not done.is_set():
            for run in amounts:
                tables.point_to(run)
                published.refresh()

    published.refresh()
    publisher = threading.Thread(target=publish_again_and_again)
    publisher.start()
    try:
        for _ in range(20):
            response = post(app.test_client(), body)
            amount = amounts[response.headers["Voucher-Run"]]
            assert response.json == [{"voucher_amount": amount}] * 10_000
    finally:
        done.set()
        publisher.join()


# Mostly valid customers. The answers to invalid ones keep their place in the response.
MOMENTS = st.one_of(
    st.dates().map(str), st.datetimes().map(str), st.datetimes().map(lambda moment: f"{moment.isoformat()}-05:00")
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.just({}),
    st.just([]),
    st.sampled_from(
        ["2018-02-30", "20180503", "2018-05-03T10:30", "2018-W18-4", " ", "\x1c", "\ufeff", "<b>", 15.0, -0.0, "15"]
    ),
)
CUSTOMERS = st.fixed_dictionaries(
    {
        "country_code": st.sampled_from(["Peru", " peru\t", "LATVIA", "são tomé", "Atlantis"]) | ODD,
        "segment_name": st.sampled_from(["frequent_segment", "recency_segment"]) | ODD,
    },
    optional={
        "total_orders": st.integers(0, 60) | ODD,
        "last_order_ts": MOMENTS | ODD,
        "first_order_ts": MOMENTS | ODD,
        "customer_id": ODD,
        "unknown": ODD,
    },
)
TEXTS = st.one_of(
    CUSTOMERS.map(json.dumps),
    CUSTOMERS.map(
        lambda customer: json.dumps(customer, ensure_ascii=False, indent=1).encode(errors="replace").decode()
    ),
    ODD.map(json.dumps),
    st.sampled_from(UNREADABLE),
    st.just('{"country_code": "P\\u0065ru", "segment_name": "frequent_segment", "total_orders": 3, "]},[{": "\\"]"}'),
)


def alone(client: FlaskClient, customer: str) -> Any:
    """Return the response of /voucher. Fail if the status in a problem differs from that of the response."""
    response = client.post("/voucher", data=customer, content_type="application/json")
    assert response.status_code == response.json.get("status", 200)
    return response.json


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(customers=st.lists(TEXTS, max_size=8))
@example([GOOD.replace("Peru", "Atlantis")] * 2)
def test_each_customer_is_answered_as_alone(client: FlaskClient, customers: list[str]) -> None:
    """Each customer gets the answer of /voucher, regardless of the others, except that only the first unknown country
    lists the known ones. An unreadable customer only affects arrays.
    """
    expected = [alone(client, customer) for customer in customers]
    for repeated in [answer for answer in expected if "known" in answer][1:]:
        del repeated["known"]
    array = post(client, f"[{' , '.join(customers)}]")
    assert array.status_code == 400 if set(customers) & set(UNREADABLE) else array.json == expected
    lines = "\n".join(customer.replace("\n", " ") for customer in customers)
    assert [json.loads(line) for line in post(client, lines, NDJSON).data.splitlines()] == expected


def test_the_countries_are_listed_once(client: FlaskClient) -> None:
    """Only the first unknown country lists the known ones: repeated 10,000 times they would take megabytes."""
    atlantis = GOOD.replace("Peru", "Atlantis")
    first, good, second = post(client, f"[{atlantis}, {GOOD}, {atlantis}]").json
    assert first["known"] == ["Latvia", "Peru", "São Tomé"]
    assert good == {"voucher_amount": 1000}
    assert second == {name: value for name, value in first.items() if name != "known"}


def test_compressed_bodies_are_refused(client: FlaskClient) -> None:
    """A compressed body is refused as a whole, not line by line."""
    response = client.post(
        "/vouchers", data=gzip.compress(GOOD.encode()), headers={"Content-Type": NDJSON, "Content-Encoding": "gzip"}
    )
    assert response.status_code == 415
    assert response.json["detail"] == "Content-Encoding 'gzip' is not supported. Send the body uncompressed."


@pytest.mark.parametrize(("encoding", "charset"), [("utf-16", "utf-16"), ("latin-1", "iso-8859-1")])
def test_only_utf_8_is_read(client: FlaskClient, encoding: str, charset: str) -> None:
    """A body in another charset is refused as a whole."""
    response = post(client, GOOD.encode(encoding), f"{NDJSON}; charset={charset}")
    assert response.status_code == 415
    assert charset in response.json["detail"]


def test_a_byte_order_mark_is_skipped(client: FlaskClient) -> None:
    """A byte order mark before the first customer is skipped: some editors and spreadsheets write one."""
    assert post(client, f"\ufeff{GOOD}\n{BETTER}", NDJSON).data.count(b"voucher_amount") == 2
    assert post(client, f"\ufeff[{GOOD}]").json == [{"voucher_amount": 1000}]


def test_a_call_too_many_is_told_to_come_again(app: Flask, publish: Publish) -> None:
    """A bulk request that finds no free slot in time gets a 503 with Retry-After, before its body is read."""
    publish()
    slots = app.extensions["bulk_slots"] = Slots(1, TooManyCallsError, wait_seconds=0.05)
    client = app.test_client()
    with slots.take():
        response = post(client, f"[{GOOD}]")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert response.json["type"] == "urn:voucher-select:too-many-calls"
    assert post(client, f"[{GOOD}]").status_code == 200
