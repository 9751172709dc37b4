"""What requests are accepted and refused, and with which status. None gets a 5xx."""

from io import BytesIO

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.app.conftest import Ask

GOOD = '"country_code": "Peru", "segment_name": "frequent_segment"'


@pytest.fixture
def ask(standing: Ask) -> Ask:
    """Return the shared app's Ask, because no test here writes."""
    return standing


@pytest.fixture
def client(standing: Ask) -> FlaskClient:
    return standing.client


def post(client: FlaskClient, body: str | bytes, content_type: str | None = "application/json") -> TestResponse:
    return client.post("/voucher", data=body, content_type=content_type)


def bad_fields(response: TestResponse) -> list[str]:
    """Return the fields that a 422 names. Fail if the response has another status or is not problem+json."""
    assert (response.status_code, response.mimetype) == (422, "application/problem+json"), response.text
    return [error["field"] for error in response.json["errors"]]


def test_every_bad_field_is_named_at_once(client: FlaskClient) -> None:
    """The problem lists all invalid fields, so that a user can correct them in one step."""
    response = post(client, '{"country_code": null, "total_orders": "3", "last_order_ts": 7, "first_order_ts": "x"}')
    assert response.json["errors"] == [
        {"field": "country_code", "detail": "must be text and not blank", "value": None},
        {"field": "segment_name", "detail": "is required"},
        {"field": "total_orders", "detail": "must be a whole number of at least 0, unquoted", "value": "3"},
        {"field": "last_order_ts", "detail": response.json["errors"][3]["detail"], "value": 7},
        {"field": "first_order_ts", "detail": response.json["errors"][4]["detail"], "value": "x"},
    ]


@pytest.mark.parametrize(
    ("kind", "field"), [("frequent_segment", "total_orders"), ("recency_segment", "last_order_ts")]
)
@pytest.mark.parametrize("absent", ["", ', "total_orders": null, "last_order_ts": null, "first_order_ts": null'])
def test_the_measured_field_is_needed(client: FlaskClient, kind: str, field: str, absent: str) -> None:
    """If the field that the kind measures is absent or null, the problem names it."""
    assert bad_fields(post(client, f'{{"country_code": "Peru", "segment_name": "{kind}"{absent}}}')) == [field]


@pytest.mark.parametrize(
    "more", [{"first_order_ts": None}, {"customer_id": {"any": ["thing", None]}}, {"unknown": "field"}]
)
def test_other_fields_may_be_absent_and_unknown_ones_are_ignored(client: FlaskClient, more: dict[str, object]) -> None:
    """Only the fields that the answer depends on are required, and unknown fields are ignored."""
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3, "last_order_ts": None}
    assert client.post("/voucher", json=customer | more).status_code == 200


def test_an_unknown_kind_is_told_the_known_ones(ask: Ask) -> None:
    """The problem for an unknown kind lists the kinds of the published run."""
    response = ask(segment_name="vip_segment")
    assert bad_fields(response) == ["segment_name"]
    assert "frequent_segment, recency_segment" in response.json["detail"]


@pytest.mark.parametrize("depth", [50, 900, 5000])
def test_a_deep_value_of_a_field_never_breaks_the_answer(client: FlaskClient, depth: int) -> None:
    """A deeply nested value never causes a 5xx, whether it is echoed, ignored or too deep to parse."""
    deep = "[" * depth + "]" * depth
    assert post(client, f'{{{GOOD}, "total_orders": {deep}}}').status_code in (400, 422)
    assert post(client, f'{{{GOOD}, "total_orders": 3, "customer_id": {deep}}}').status_code in (200, 400)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_only_json_is_taken(client: FlaskClient, content_type: str | None) -> None:
    """Any other content type gets a 415 that names the header to send."""
    response = post(client, "{}", content_type)
    assert (response.status_code, response.mimetype) == (415, "application/problem+json")
    assert "Content-Type: application/json" in response.json["detail"]


def test_a_body_may_have_64_kib(client: FlaskClient) -> None:
    """A body of 64 KiB is accepted; one more byte gets a 413."""
    body = f'{{{GOOD}, "total_orders": 3, "customer_id": ""}}'
    fill = 64 * 1024 - len(body)
    assert post(client, body.replace('""', f'"{"x" * fill}"')).status_code == 200
    response = post(client, body.replace('""', f'"{"x" * (fill + 1)}"'))
    assert (response.status_code, response.mimetype) == (413, "application/problem+json")
    assert "65536" in response.json["detail"]


def test_unknown_paths_and_methods_are_problems_too(client: FlaskClient) -> None:
    """A 404 points to the documentation; a 405 names the allowed methods."""
    missing, wrong = client.get("/nowhere"), client.get("/voucher")
    assert (missing.status_code, missing.json["status"], missing.mimetype) == (404, 404, "application/problem+json")
    assert "/redoc/" in missing.json["detail"]
    assert (wrong.status_code, wrong.mimetype) == (405, "application/problem+json")
    assert "POST" in wrong.headers["Allow"]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_a_chunked_body_has_the_same_limit(client: FlaskClient, more: int, status: int) -> None:
    """A body without a Content-Length has the same size limit and is not truncated."""
    body = f'{{{GOOD}, "total_orders": 3, "customer_id": ""}}'
    body = body.replace('""', f'"{"x" * (64 * 1024 - len(body) + more)}"')
    environ = {"wsgi.input": BytesIO(body.encode()), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    response = client.post("/voucher", content_type="application/json", environ_overrides=environ)
    assert response.status_code == status
