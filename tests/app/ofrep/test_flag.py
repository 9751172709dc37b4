"""The flag over plain HTTP: its answers are those of /voucher, its refusals those that the protocol names."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.settings import MAX_BODY_BYTES
from tests.app.conftest import RUN, Ask, start, stop
from tests.app.ofrep.conftest import CUSTOMER
from tests.app.outcomes import draws

Publish = Callable[..., None]

ALL = "/ofrep/v1/evaluate/flags"
SINGLE = f"{ALL}/voucher"
CONTEXT = CUSTOMER | {"targetingKey": "123"}
RECENCY = {"targetingKey": "123", "country_code": "Peru", "segment_name": "recency_segment"}


def evaluated(client: FlaskClient, **fields: object) -> dict[str, Any]:
    response = client.post(SINGLE, json={"context": CONTEXT | fields})
    assert response.status_code == 200, response.text
    return dict(response.json or {})


def all_flags(client: FlaskClient, context: object, etag: str | None = None) -> TestResponse:
    headers = {} if etag is None else {"If-None-Match": etag}
    return client.post(ALL, json={"context": context}, headers=headers)


@pytest.mark.parametrize("orders", [0, 1, 3, 12, 1_234_567])
def test_the_flag_says_what_the_explanation_says(standing: Ask, orders: int) -> None:
    """The flag has the amount, sentence, run, segment and currency of the explanation that /voucher gives."""
    response = standing.client.post(SINGLE, json={"context": CONTEXT | {"total_orders": orders}})
    voucher = standing("/voucher?explain=true", total_orders=orders, customer_id="123")
    told = voucher.json or {}
    assert response.json == {
        "key": "voucher",
        "value": told["voucher_amount"],
        "reason": "TARGETING_MATCH",
        "variant": f"frequent_segment {told['segment']}",
        "metadata": {"run": RUN}
        | {
            name: told[name]
            for name in ("country_code", "segment_name", "segment", "chosen_by", "propensity", "currency", "because")
        },
    }
    for name in ("Voucher-Run", "Voucher-Segment", "Voucher-Chosen-By", "Voucher-Propensity"):
        assert response.headers[name] == voucher.headers[name]


@pytest.mark.parametrize("days", ["2018-07-15", "2018-07-14", "2018-05-03 10:30:00"])
def test_days_are_counted_as_by_voucher(standing: Ask, days: str) -> None:
    """A kind that measures days has the sentence of /voucher too, with the days and the day they are counted to."""
    context = RECENCY | {"last_order_ts": days}
    found = standing.client.post(SINGLE, json={"context": context}).json or {}
    told = standing.client.post("/voucher?explain=true", json=context).json or {}
    assert (found["value"], found["metadata"]["because"]) == (told["voucher_amount"], told["because"])


@given(st.text(min_size=1).map(lambda key: f"x{key}"))
def test_a_flag_is_the_same_alone_and_among_all(standing: Ask, key: str) -> None:
    """The endpoint of all flags has the one flag, exactly as its own endpoint has it."""
    context = CONTEXT | {"targetingKey": key}
    single = standing.client.post(SINGLE, json={"context": context})
    assert all_flags(standing.client, context).json == {"flags": [single.json]}


def test_the_reason_says_how_the_amount_came_about(publish: Publish, client: FlaskClient) -> None:
    """TARGETING_MATCH is the segment's amount, SPLIT one by lottery or holdout, DEFAULT a guess by the country's."""
    publish(countries={"Peru": 30, "Latvia": 90}, draws=draws())
    reasons = set()
    for number in range(300):
        found = evaluated(client, targetingKey=str(number), customer_id="another")
        told = client.post("/voucher?explain=true", json=CUSTOMER | {"customer_id": number}).json or {}
        assert found["value"] == told["voucher_amount"]
        assert found["metadata"]["propensity"] == told["propensity"]
        assert found["metadata"]["because"] == told["because"]
        reasons.add((told["chosen_by"], found["reason"]))
    assert reasons == {("table", "TARGETING_MATCH"), ("lottery", "SPLIT"), ("holdout", "SPLIT")}
    publish("b" * 16, basis="country")
    found = evaluated(client)
    assert (found["reason"], found["metadata"]["run"]) == ("DEFAULT", "b" * 16)


def test_a_flag_has_one_type(publish: Publish, client: FlaskClient) -> None:
    """If an amount of the run has cents, whole amounts are written with a decimal point, so that all are floats."""
    bounds = [("0-1", 0, 1, 1000), ("2+", 2, None, 1000.5)]
    publish(kinds={"frequent_segment": ("total_orders", bounds)})
    values = [evaluated(client, total_orders=orders)["value"] for orders in (1, 2)]
    assert [repr(value) for value in values] == ["1000.0", "1000.5"]


BAD = "INVALID_CONTEXT"


@pytest.mark.parametrize(
    ("fields", "code", "details"),
    [
        ({"targetingKey": None}, "TARGETING_KEY_MISSING", "targetingKey is required: send the customer's id as text."),
        ({"targetingKey": 123}, BAD, "targetingKey must be text and not blank."),
        ({"targetingKey": " "}, BAD, "targetingKey must be text and not blank."),
        ({"total_orders": -1}, BAD, None),
        ({"total_orders": None}, BAD, None),
        ({"total_orders": "3", "country_code": ""}, BAD, None),
        ({"segment_name": "vip_segment"}, BAD, None),
        ({"country_code": "Atlantis"}, BAD, None),
    ],
)
def test_a_context_that_is_refused_says_why(
    standing: Ask, fields: dict[str, object], code: str, details: str | None
) -> None:
    """A refusal is a 400 with the protocol's code, and with the words of the problem that /voucher answers."""
    response = standing.client.post(SINGLE, json={"context": CONTEXT | fields})
    problem = standing.client.post("/voucher", json=CONTEXT | fields).json or {}
    assert (response.status_code, response.mimetype) == (400, "application/json")
    found = response.json or {}
    assert (found["key"], found["errorCode"]) == ("voucher", code)
    assert found["errorDetails"] == (details or problem["detail"])
    assert found.get("metadata", {}).get("known", "") == ", ".join(problem.get("known", ()))


@pytest.mark.parametrize(
    ("body", "content_type", "code", "words"),
    [
        (b"{", "application/json", "PARSE_ERROR", "The body is not JSON"),
        (b"\xff", "application/json", "PARSE_ERROR", "not UTF-8"),
        (b'{"context": {}, "context": {}}', "application/json", "PARSE_ERROR", "twice"),
        (b"[]", "application/json", "PARSE_ERROR", "must be a JSON object"),
        (b"{}", "application/json", BAD, "context must be a JSON object"),
        (b'{"context": "x"}', "application/json", BAD, "context must be a JSON object"),
        (b"{}", "text/plain", "PARSE_ERROR", "Content-Type: application/json"),
        (b"{}", "application/json; charset=latin-1", "PARSE_ERROR", "UTF-8"),
        (b" " * (MAX_BODY_BYTES + 1), "application/json", "GENERAL", f"at most {MAX_BODY_BYTES} bytes"),
    ],
)
@pytest.mark.parametrize("path", [SINGLE, ALL])
def test_a_request_that_cannot_be_read_is_a_400(
    standing: Ask, path: str, body: bytes, content_type: str, code: str, words: str
) -> None:
    """Whatever is wrong with a request is a 400 with a code and words, which clients of the protocol show."""
    response = standing.client.post(path, data=body, content_type=content_type)
    found = response.json or {}
    assert (response.status_code, response.mimetype, found["errorCode"]) == (400, "application/json", code)
    assert words in found["errorDetails"]
    assert ("key" in found) == (path == SINGLE)


@pytest.mark.parametrize("key", ["discount", "Voucher", "a/b", "a//b", "voucher/", "ü", "a\nb", "<script>"])
def test_another_flag_is_not_found(standing: Ask, key: str) -> None:
    """Another flag gets a 404 that names the flag there is, whatever the body is."""
    for body in (json.dumps({"context": CONTEXT}), "{"):
        response = standing.client.post(f"{ALL}/{quote(key)}", data=body, content_type="application/json")
        found = response.json or {}
        assert (response.status_code, found["key"], found["errorCode"]) == (404, key, "FLAG_NOT_FOUND")
        assert "one flag: voucher" in found["errorDetails"]
        assert "<" not in response.text


def test_only_post_is_allowed(standing: Ask) -> None:
    """Another method gets a 405 with the allowed ones."""
    for path in (SINGLE, ALL, f"{ALL}/discount"):
        response = standing.client.get(path)
        assert (response.status_code, "POST" in response.headers["Allow"]) == (405, True)


def test_a_customer_who_is_refused_does_not_refuse_all_flags(standing: Ask) -> None:
    """A context that only lacks fields gets a 200 with the failure in place of the flag, so that a browser can start
    before the customer is known; one without a targeting key is a 400.
    """
    refused = standing.client.post(SINGLE, json={"context": {"targetingKey": "123"}})
    among_all = all_flags(standing.client, {"targetingKey": "123"})
    assert (among_all.status_code, among_all.json) == (200, {"flags": [refused.json]})
    without_key = all_flags(standing.client, {})
    assert (without_key.status_code, without_key.json) == (
        400,
        {
            "errorCode": "TARGETING_KEY_MISSING",
            "errorDetails": "targetingKey is required: send the customer's id as text.",
        },
    )


def test_the_same_answer_is_not_sent_again(publish: Publish, client: FlaskClient) -> None:
    """With the ETag of an earlier answer there is a 304 without a body, until the answer changes: by another context,
    run or amount.
    """
    publish()
    first = all_flags(client, CONTEXT)
    etag = first.headers["ETag"]
    for sent in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        again = all_flags(client, CONTEXT, sent)
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag), sent
        assert again.headers["Voucher-Run"] == RUN
    for context in (CONTEXT | {"total_orders": 4}, CONTEXT | {"country_code": "Latvia"}, {"targetingKey": "123"}):
        other = all_flags(client, context, etag)
        assert (other.status_code, other.headers["ETag"] == etag) == (200, False), context
    assert all_flags(client, CONTEXT, '"another"').status_code == 200
    publish("b" * 16)
    later = all_flags(client, CONTEXT, etag)
    assert (later.status_code, later.headers["Voucher-Run"]) == (200, "b" * 16)


def test_an_error_of_the_service_has_the_protocols_form(publish: Publish, client: FlaskClient) -> None:
    """Before the first run, and for a customer whom no segment holds, the answer is a 5xx with `errorDetails` only."""
    for path in (SINGLE, ALL):
        response = client.post(path, json={"context": CONTEXT})
        assert (response.status_code, [*(response.json or {})]) == (503, ["errorDetails"])
    publish(kinds={"frequent_segment": ("total_orders", [("0-1", 0, 1, 1000)])})
    response = client.post(SINGLE, json={"context": CONTEXT})
    assert (response.status_code, [*(response.json or {})]) == (500, ["errorDetails"])
    (flag,) = (all_flags(client, CONTEXT).json or {})["flags"]
    assert flag["errorCode"] == "GENERAL"


def test_a_page_of_another_origin_may_ask(standing_database: str) -> None:
    """A page whose origin is allowed may send a key and an ETag, and read the ETag of the answer."""
    app = start(standing_database, cors_origins=("https://shop.example",), api_keys=("a-key-of-16-or-more",))
    client, origin = app.test_client(), {"Origin": "https://shop.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,if-none-match"}
    allowed = client.options(ALL, headers=origin | asked).headers
    refused = client.post(ALL, json={"context": CONTEXT}, headers=origin)
    key = {"Authorization": "Bearer a-key-of-16-or-more"}
    answer = client.post(ALL, json={"context": CONTEXT}, headers=origin | key)
    stop(app)
    assert allowed["Access-Control-Allow-Headers"] == "authorization,if-none-match"
    assert refused.status_code == 401
    assert (answer.status_code, "ETag" in answer.headers) == (200, True)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert answer.headers["Access-Control-Expose-Headers"] == "*"  # among them ETag, as no cookies are sent


def test_metrics_count_the_flag(standing: Ask) -> None:
    """Metrics count the flag's requests by its path."""
    standing.client.post(SINGLE, json={"context": CONTEXT})
    standing.client.post(ALL, json={"context": CONTEXT})
    metrics = standing.client.get("/metrics").text
    for path in (SINGLE, ALL):
        assert f'voucher_requests_total{{method="POST",path="{path}",status="200"}}' in metrics
