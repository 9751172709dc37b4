"""Many customers in one call: each is answered as /voucher would answer it, in order and from one run."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.customer import BrokenJSONError, Customer
from app.customers import of_array, of_lines
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
    """Few of the tests here write, so the others share one app."""
    return standing.client


def test_customers_are_answered_in_their_order(client: FlaskClient) -> None:
    """An amount, or a problem that bears its status; the call as a whole is 200."""
    response = post(client, f"[{BETTER}, 7, {GOOD}]")
    assert (response.status_code, response.mimetype, response.headers["Voucher-Run"]) == (200, "application/json", RUN)
    better, wrong, good = response.json
    assert (better, good) == ({"voucher_amount": 1200}, {"voucher_amount": 1000})
    assert (wrong["status"], wrong["type"]) == (400, "urn:voucher-select:broken-json")


@pytest.mark.parametrize(
    "media_type", ["application/x-ndjson", "application/jsonl", "application/x-ndjson; charset=utf-8"]
)
def test_lines_are_answered_by_lines(client: FlaskClient, media_type: str) -> None:
    """A broken line is a problem of its own; a blank one is passed over, whatever ends it."""
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
    """No customer is no error."""
    response = post(client, body, media_type)
    assert (response.status_code, response.data.strip()) == (200, b"[]" if media_type == "application/json" else b"")


@pytest.mark.parametrize("media_type", ["application/json", NDJSON])
def test_each_answer_can_be_explained(client: FlaskClient, media_type: str) -> None:
    """The same as of a customer alone."""
    body = f"{GOOD}\n{BETTER}" if media_type == NDJSON else f"[{GOOD},{BETTER}]"
    text = post(client, body, media_type, "?explain=true").text
    found = [json.loads(line) for line in text.splitlines()] if media_type == NDJSON else json.loads(text)
    for one, customer in zip(found, (GOOD, BETTER), strict=True):
        alone = client.post("/voucher?explain=true", data=customer, content_type="application/json").json
        assert one | {"data_age_days": None} == alone | {"data_age_days": None}


@pytest.mark.parametrize(
    "odd",
    [
        '{"a": 1, "a": 2}',
        '{"x": {"b": 1, "b": 1}}',
        '{"total_orders": ' + "9" * 5000 + "}",
        "NaN",
        '"]"',
        '["a,", "]"]',
        "[]",
        "{}",
    ],
)
def test_one_odd_customer_does_not_spoil_the_others(client: FlaskClient, odd: str) -> None:
    """What JSON's grammar allows is a problem of the customer that bears it."""
    response = post(client, f"[{GOOD} ,{odd}\n,\t{BETTER}]")
    assert [one.get("voucher_amount", one.get("status")) for one in response.json] in (
        [1000, 400, 1200],
        [1000, 422, 1200],
    )
    alone = client.post("/voucher", data=odd, content_type="application/json")
    assert alone.json == response.json[1]


def test_html_is_never_echoed_as_html(client: FlaskClient) -> None:
    """Nor in a problem among many answers."""
    body = GOOD.replace("Peru", "<script>")
    for response in (post(client, f"[{body}]"), post(client, body, NDJSON)):
        assert b"<" not in response.data
        assert b"u003cscript>" in response.data


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[", f"[{GOOD}", f"[{GOOD},]", f"[{GOOD} {GOOD}]", f"{GOOD}\n{GOOD}", f"[{GOOD}]]", "[{'a': 1}]"),
        *(GOOD, "null", "7", '"[]"', "[" * 100_000, '[{"a":' * 100_000, '[{"a": 1, "a": 2},]', '{"a": 1, "a": 2}'),
        *(b"\xff", b"[\xff]", b"\xef\xbb\xbf[]", "[]".encode("utf-16"), b"\x00"),
    ],
)
def test_a_body_that_is_no_array_is_refused_as_a_whole(client: FlaskClient, body: str | bytes) -> None:
    """Broken, too deep, not UTF-8 or no array: 400, and the next call is answered."""
    response = post(client, body)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert post(client, f"[{GOOD}]").json == [{"voucher_amount": 1000}]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/ndjsonx"]
)
def test_only_json_and_its_lines_are_taken(client: FlaskClient, content_type: str | None) -> None:
    """415 says what to send."""
    response = post(client, "[]", content_type)
    assert (response.status_code, response.mimetype) == (415, "application/problem+json")
    assert "application/x-ndjson" in response.json["detail"]


@pytest.mark.parametrize(
    ("join", "media_type"), [(lambda c: f"[{','.join(c)}]", "application/json"), ("\n".join, NDJSON)]
)
def test_a_call_may_have_10_000_customers(
    client: FlaskClient, join: Callable[[list[str]], str], media_type: str
) -> None:
    """All of them are answered; one more is 413."""
    response = post(client, join([GOOD] * 10_000), media_type)
    assert (response.status_code, response.text.count('{"voucher_amount":1000}')) == (200, 10_000)
    response = post(client, join([GOOD] * 10_001), media_type)
    assert (response.status_code, response.mimetype) == (413, "application/problem+json")
    assert "10,000" in response.json["detail"]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_call_may_have_4_mib(client: FlaskClient, more: int, status: int, chunked: bool) -> None:
    """The last byte that fits is taken, the next is 413, whether the body says its length or not."""
    body = f"[{GOOD}{' ' * (MOST_BYTES - len(GOOD) - 2 + more)}]".encode()
    environ: dict[str, Any] = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    sent = {"environ_overrides": environ} if chunked else {"data": body}
    response = client.post("/vouchers", content_type="application/json", **sent)
    assert response.status_code == status
    assert status == 200 or str(MOST_BYTES) in response.json["detail"]


def test_nothing_published_is_told_once(app: Flask) -> None:
    """503 for the call, once its body can be read."""
    client = app.test_client()
    assert post(client, "{").status_code == 400
    assert post(client, "[]", query="?explain=x").status_code == 422
    assert post(client, f"[{GOOD}]").status_code == 503


def test_a_call_is_answered_from_one_run(app: Flask, tables: Tables) -> None:
    """While runs change places, all amounts of a call are of the run that its header names."""
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


# Good customers, each spoiled now and then; what is spoiled keeps its place in the call.
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
    st.sampled_from(
        [
            '{"country_code": "Peru", "country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}',
            '{"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3, "x": [{"a": 1, "a": 2}]}',
            '{"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": ' + "9" * 5000 + "}",
            '{"country_code": "P\\u0065ru", "segment_name": "frequent_segment", "total_orders": 3, "]},[{": "\\"]"}',
        ]
    ),
)


def alone(client: FlaskClient, customer: str) -> Any:
    """What /voucher answers; the status is in the problem."""
    response = client.post("/voucher", data=customer, content_type="application/json")
    assert response.status_code == response.json.get("status", 200)
    return response.json


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(customers=st.lists(TEXTS, max_size=8))
def test_each_customer_is_answered_as_alone(client: FlaskClient, customers: list[str]) -> None:
    """Good or bad, by array or by lines, and whoever else is in the call."""
    expected = [alone(client, customer) for customer in customers]
    assert post(client, f"[{' , '.join(customers)}]").json == expected
    lines = "\n".join(customer.replace("\n", " ") for customer in customers)
    assert [json.loads(line) for line in post(client, lines, NDJSON).data.splitlines()] == expected


# Texts of customers, token by token: what JSON readers differ about, and names that stand twice.
NAMES = ["country_code", "segment_name", "customer_id", "total_orders", "last_order_ts", "first_order_ts", "more"]
NUMBERS = [
    "3",
    "0",
    "-0",
    "-0.0",
    "15.0",
    "1e2",
    "1E400",
    "-1",
    "01",
    "1.5",
    "1.",
    "+1",
    "9" * 20,
    "9" * 4300,
    "9" * 4301,
]
STRINGS = [
    *(
        "Peru",
        "P\\u0065ru",
        "P\ne",
        "P\x00",
        "\\u001c",
        "\\u0022",
        '\\"',
        "\\ud800",
        "\udcff",
        "",
        " ",
        "São Tomé",
        ":,}",
    ),
    *("recency_segment", "frequent_segment", "2018-05-03", "2018-05-03 10:30:00", "2018-05-03T10:30:00z"),
    *("2018-05-03t10:30:00", "2018-05-03 23:59:59.9999999", "2018-05-03 24:00:00", "2018-05-03 10:30:60"),
    *("2018-05-03 10:30:\u0660\u0660", "0001-01-01T00:00:00+01:00", "2018-13-01 10:30:00", "1525305600"),
]
TOKENS = [*NUMBERS, *(f'"{text}"' for text in STRINGS), "null", "true", "NaN", "[]", '{"a": "b"}']
VALUES = st.sampled_from(TOKENS)
GOOD_VALUES = {"country_code": '"Peru"', "segment_name": '"recency_segment"', "last_order_ts": '"2018-05-03"'}
ONCE = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, VALUES)).map(lambda odd: GOOD_VALUES | odd)
AGAIN = st.lists(st.tuples(st.sampled_from([*NAMES, "total\\u005forders"]), VALUES), max_size=2) | st.just([])
PAIRS = st.builds(lambda once, again: [f'"{name}" : {value}' for name, value in [*once.items(), *again]], ONCE, AGAIN)


def check_the_short_way(pairs: list[str], end: str = "}") -> None:
    """Where a customer of many is read at once, it is the customer that would be read of the text alone."""
    text = ("{" + ", ".join(pairs) + end).encode(errors="surrogateescape")
    for read, body in ((of_array, b"[%b]" % text), (of_array, b"[%b, %b]" % (text, GOOD.encode())), (of_lines, text)):
        found: list[Customer | bytes] = []
        with suppress(BrokenJSONError):
            found = read(body)
        assert not found or not isinstance(found[0], Customer) or found[0] == Customer.read(text)


@pytest.mark.parametrize("name", NAMES)
def test_the_short_way_takes_no_value_that_the_long_way_reads_otherwise(name: str) -> None:
    """Each odd token in each field."""
    for token in TOKENS:
        check_the_short_way([f'"{key}": {value}' for key, value in (GOOD_VALUES | {name: token}).items()])


@settings(max_examples=1000, deadline=None)
@given(pairs=PAIRS, end=st.sampled_from(["}", " }\r", "", "}}"]))
def test_the_short_way_takes_no_customer_that_the_long_way_reads_otherwise(pairs: list[str], end: str) -> None:
    """Several odd tokens, names that stand twice, an end that is missing or too much."""
    check_the_short_way(pairs, end)


def test_plain_customers_take_the_short_way() -> None:
    """Else /vouchers would be as right, and three times as slow; one who is not plain leaves the others on it."""
    plain = [
        json.loads(GOOD),
        dict.fromkeys(NAMES[2:6]) | json.loads(GOOD) | {"country_code": "São Tomé"},
        json.loads(GOOD) | {"customer_id": "7", "last_order_ts": "2018-05-03", "first_order_ts": "2018-05-03T10:30Z"},
    ]
    customers = [*plain, json.loads(GOOD) | {"more": "fields"}]
    for found in (of_array(json.dumps(customers).encode()), of_lines("\n".join(map(json.dumps, customers)).encode())):
        assert [type(one) for one in found] == [Customer, Customer, Customer, bytes]


def test_quotes_in_a_text_do_not_hide_a_name_that_stands_twice() -> None:
    """The short way tells it by the number of quotes."""
    check_the_short_way(
        [
            *(f'"{name}": {value}' for name, value in GOOD_VALUES.items()),
            '"customer_id": "\\u0022\\u0022"',
            '"total_orders": 1',
            '"total_orders": 2',
        ]
    )
