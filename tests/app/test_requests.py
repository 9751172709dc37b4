"""What is read, what is refused, and in which order; no request is answered with a 5xx."""

from io import BytesIO

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.app.conftest import Ask

GOOD = '"country_code": "Peru", "segment_name": "frequent_segment"'
FREQUENT = {"segment_name": "frequent_segment"}
RECENCY = {"segment_name": "recency_segment"}


@pytest.fixture
def ask(standing: Ask) -> Ask:
    """Nothing here writes, so the tests share one app."""
    return standing


@pytest.fixture
def client(standing: Ask) -> FlaskClient:
    return standing.client


def post(client: FlaskClient, body: str | bytes, content_type: str | None = "application/json") -> TestResponse:
    return client.post("/voucher", data=body, content_type=content_type)


def bad_fields(response: TestResponse) -> list[str]:
    """The fields a 422 names; fails when the answer is another, or no problem+json."""
    assert (response.status_code, response.mimetype) == (422, "application/problem+json"), response.text
    return [error["field"] for error in response.json["errors"]]


@pytest.mark.parametrize("orders", ["0", "15", "15.0", "1e1", "516", "1e300", "9" * 4000])
def test_whole_numbers_of_orders_are_read(client: FlaskClient, orders: str) -> None:
    """Whole is a matter of value, not of spelling, and no number is too large."""
    assert post(client, f'{{{GOOD}, "total_orders": {orders}}}').status_code == 200


@pytest.mark.parametrize(
    "orders", ['"15"', "true", "false", "2.5", "-1", "-0.5", "NaN", "Infinity", "1e400", "-1e400", "[1]", "{}", '""']
)
def test_anything_else_is_no_number_of_orders(client: FlaskClient, orders: str) -> None:
    """Text, booleans, fractions, negatives and what is not finite are refused, whether measured or not."""
    assert bad_fields(post(client, f'{{{GOOD}, "total_orders": {orders}}}')) == ["total_orders"]
    recency = GOOD.replace("frequent", "recency")
    body = f'{{{recency}, "last_order_ts": "2018-05-03", "total_orders": {orders}}}'
    assert bad_fields(post(client, body)) == ["total_orders"]


@pytest.mark.parametrize(
    "moment",
    [
        *("2018-05-03", "2018-05-03 10:30", "2018-05-03T10:30:00", "2018-05-03 10:30:00.123456789"),
        *("2018-05-03T10:30:00Z", "2018-05-03 10:30:00+00:00", "2018-05-03T10:30:00-0500", "2018-05-03T10:30:00+05"),
        *("2016-02-29", "1969-12-31", "0001-01-01", "0001-01-01T00:00:00-01:00"),
    ],
)
def test_iso_time_stamps_are_read(ask: Ask, moment: str) -> None:
    """Date or date-time, blank or T between, with a zone or without, of any year from 1."""
    assert ask(**RECENCY, last_order_ts=moment, first_order_ts=moment).status_code == 200


@pytest.mark.parametrize(
    "moment",
    [
        *("", " ", "yesterday", "03.05.2018", "2018-5-3", "20180503", "2018-W18-4", "2018-123", "2018-05-03x10:30"),
        *(
            "2018-13-01",
            "2018-02-30",
            "2017-02-29",
            "2018-05-03 25:00",
            "2018-05-03 10:60",
            "2018-05-03T10:30:00+25:00",
            "2018-05-03T10:30:00+16:00",
            "2018-05-03T10:30:00-1660",
            "2018-05-03T10:30:00+05:60",
        ),
        *("0000-01-01", "10000-01-01", "-0001-01-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:00:00-05:00"),
        *(
            "\uff12\uff10\uff11\uff18-05-03",
            "2018-05-03\n",
            "2018-05-03\x00",
            "\ud800",
            "<b>2018</b>",
            "2018-05-03'; DROP TABLE voucher.run",
        ),
        *(1525305600, 1525305600.5, True, [], {}),
    ],
)
@pytest.mark.parametrize("field", ["last_order_ts", "first_order_ts"])
def test_anything_else_is_no_time_stamp(ask: Ask, field: str, moment: object) -> None:
    """A number, a day that does not exist or a year out of range is refused, whether measured or not."""
    assert bad_fields(ask(**{field: moment})) == [field]


@pytest.mark.parametrize("field", ["country_code", "segment_name"])
@pytest.mark.parametrize(
    "value", ["", " \t", "\u00a0\u2028", "\u200b\ufeff", "\u2060\ufe0f", 5, True, ["Peru"], {"a": 1}]
)
def test_country_and_kind_are_text_and_not_blank(ask: Ask, field: str, value: object) -> None:
    """Anything else is refused, and the problem shows what was sent."""
    assert bad_fields(ask(**{field: value})) == [field]


def test_every_bad_field_is_named_at_once(client: FlaskClient) -> None:
    """Nobody has to find one's mistakes one by one."""
    response = post(client, '{"country_code": null, "total_orders": "3", "last_order_ts": 7, "first_order_ts": "x"}')
    assert response.json["errors"] == [
        {"field": "country_code", "detail": "must be text and not blank", "value": None},
        {"field": "segment_name", "detail": "is required"},
        {"field": "total_orders", "detail": "must be a whole number of at least 0, not text", "value": "3"},
        {"field": "last_order_ts", "detail": response.json["errors"][3]["detail"], "value": 7},
        {"field": "first_order_ts", "detail": response.json["errors"][4]["detail"], "value": "x"},
    ]


@pytest.mark.parametrize(
    ("kind", "field"), [("frequent_segment", "total_orders"), ("recency_segment", "last_order_ts")]
)
@pytest.mark.parametrize("absent", ["", ', "total_orders": null, "last_order_ts": null, "first_order_ts": null'])
def test_the_measured_field_is_needed(client: FlaskClient, kind: str, field: str, absent: str) -> None:
    """Absent or null, the problem names the field that the kind measures."""
    assert bad_fields(post(client, f'{{"country_code": "Peru", "segment_name": "{kind}"{absent}}}')) == [field]


@pytest.mark.parametrize(
    "more", [{"first_order_ts": None}, {"customer_id": {"any": ["thing", None]}}, {"unknown": "field"}]
)
def test_other_fields_may_be_absent_and_unknown_ones_are_ignored(client: FlaskClient, more: dict[str, object]) -> None:
    """Only what the answer depends on is asked for."""
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3, "last_order_ts": None}
    assert client.post("/voucher", json=customer | more).status_code == 200


def test_an_unknown_kind_is_told_the_known_ones(ask: Ask) -> None:
    """The kinds are those of the published run."""
    response = ask(segment_name="vip_segment")
    assert bad_fields(response) == ["segment_name"]
    assert "frequent_segment, recency_segment" in response.json["detail"]


@pytest.mark.parametrize(
    "text",
    ["frequent_segment'; DROP TABLE voucher.segment; --", "' OR 1=1 --", "%s", "{0}", "\x00", "\ud800", "x" * 9000],
)
def test_sql_in_a_field_is_a_bad_value_and_nothing_more(ask: Ask, text: str) -> None:
    """A hostile segment_name or country is refused, and the next request is answered."""
    response = ask(segment_name=text)
    assert bad_fields(response) == ["segment_name"]
    assert len(response.data) < 1000, "the echoed value is cut"
    assert ask(country_code=text).status_code == 404
    assert ask.amount() == 1000


def test_html_is_never_echoed_as_html(ask: Ask) -> None:
    """Wherever the problem is shown, no tag of the request opens."""
    for response in (ask(segment_name="<script>"), ask(country_code="<script>"), ask(total_orders="<script>")):
        assert b"<" not in response.data
        assert "<script>" in str(response.json)


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "country_code=Peru", "{'a': 1}", '{"a": 1}}', '{"a": 1,}', "[" * 60_000, '{"a":' * 10_000),
        *('[{"country_code": "Peru"}]', '"text"', '"{}"', "null", "7", '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}'),
        *(b'{"a": "\xff"}', '{"a": 1}'.encode("utf-16"), b'{"a": "\xed\xa0\x80"}', b"\x00"),
        '{"total_orders": ' + "9" * 5000 + "}",
    ],
)
def test_a_body_that_is_no_json_object_is_refused(ask: Ask, body: str | bytes) -> None:
    """Broken, too deep, not UTF-8, not an object, or with a name twice: 400, and the next request is answered."""
    response = post(ask.client, body)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert response.json["detail"].endswith(".")
    assert ask.amount() == 1000


@pytest.mark.parametrize("depth", [50, 900, 5000])
def test_a_deep_value_of_a_field_never_breaks_the_answer(client: FlaskClient, depth: int) -> None:
    """Echoed or not, read or too deep to read, it is the request that is at fault."""
    deep = "[" * depth + "]" * depth
    assert post(client, f'{{{GOOD}, "total_orders": {deep}}}').status_code in (400, 422)
    assert post(client, f'{{{GOOD}, "total_orders": 3, "customer_id": {deep}}}').status_code in (200, 400)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_only_json_is_taken(client: FlaskClient, content_type: str | None) -> None:
    """415 says which header to send."""
    response = post(client, "{}", content_type)
    assert (response.status_code, response.mimetype) == (415, "application/problem+json")
    assert "Content-Type: application/json" in response.json["detail"]


def test_a_body_may_have_64_kib(client: FlaskClient) -> None:
    """The last byte that fits is taken, the next is 413."""
    body = f'{{{GOOD}, "total_orders": 3, "customer_id": ""}}'
    fill = 64 * 1024 - len(body)
    assert post(client, body.replace('""', f'"{"x" * fill}"')).status_code == 200
    response = post(client, body.replace('""', f'"{"x" * (fill + 1)}"'))
    assert (response.status_code, response.mimetype) == (413, "application/problem+json")
    assert "65536" in response.json["detail"]


def test_unknown_paths_and_methods_are_problems_too(client: FlaskClient) -> None:
    """404 points at the documentation, 405 at what is allowed."""
    missing, wrong = client.get("/nowhere"), client.get("/voucher")
    assert (missing.status_code, missing.json["status"], missing.mimetype) == (404, 404, "application/problem+json")
    assert "/redoc/" in missing.json["detail"]
    assert (wrong.status_code, wrong.mimetype) == (405, "application/problem+json")
    assert "POST" in wrong.headers["Allow"]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_a_chunked_body_has_the_same_limit(client: FlaskClient, more: int, status: int) -> None:
    """A body that does not say its length is neither cut nor taken at any length."""
    body = f'{{{GOOD}, "total_orders": 3, "customer_id": ""}}'
    body = body.replace('""', f'"{"x" * (64 * 1024 - len(body) + more)}"')
    environ = {"wsgi.input": BytesIO(body.encode()), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    response = client.post("/voucher", content_type="application/json", environ_overrides=environ)
    assert response.status_code == status
