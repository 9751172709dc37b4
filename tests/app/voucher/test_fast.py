"""Answers of the fast path: status, headers and body equal those of Flask."""

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from app.ofrep.routes import SINGLE
from app.settings import MAX_BODY_BYTES
from app.voucher.customer import Customer
from app.voucher.fast_path import FastPath
from app.voucher.routes import respond
from tests.app.conftest import DAY, Ask

CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
BODY = json.dumps(CUSTOMER).encode()


class Paths:
    """The fast path and Flask alone, for the same app."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._seen = 0
        published, flag = app.extensions["published"], app.extensions["flag"]
        routes = {"/voucher": lambda body: respond(Customer.from_json(body), published), SINGLE: flag.respond}
        self._fast = Client(FastPath(self._flask, routes))
        self._slow = Client(self._flask)

    def _flask(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self._seen += 1
        return Flask.wsgi_app(self._app, environ, start_response)

    def ask(self, **request: Any) -> tuple[TestResponse, bool]:
        """Return the response and whether it came without Flask. Fail if Flask's response to the request differs."""
        wanted, before = self._send(self._slow, **request), self._seen
        found = self._send(self._fast, **request)
        assert (found.status, found.headers.to_wsgi_list()) == (wanted.status, wanted.headers.to_wsgi_list())
        assert found.data == wanted.data
        return found, self._seen == before

    def _send(self, client: Client, body: bytes, **request: Any) -> TestResponse:
        request = {"path": "/voucher", "method": "POST", "content_type": "application/json"} | request
        own = request.pop("environ", {})
        return client.open(data=body, environ_overrides=own | {"wsgi.input": BytesIO(body)} if own else None, **request)


@pytest.fixture(scope="module")
def paths(standing: Ask) -> Paths:
    return Paths(standing.client.application)


moments = st.dates(max_value=DAY) | st.datetimes().filter(lambda moment: moment.date() <= DAY)
needed = {
    "country_code": st.sampled_from(["Peru", "peru", " PERU\t", "Latvia", "são TOMÉ"]),
    "segment_name": st.sampled_from(["frequent_segment", "recency_segment"]),
    "total_orders": st.integers(0, 10**20) | st.integers(0, 50).map(float),
    "last_order_ts": moments.map(str),
}
others = {
    "customer_id": st.none() | st.integers() | st.text(),
    "first_order_ts": st.dates().map(str),
    "more": st.text(),
}
valid = st.fixed_dictionaries(needed, optional=others)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
one_field_spoilt = st.builds(
    lambda customer, field, value: customer | {field: value}, valid, st.sampled_from([*needed, *others]), anything
)


@given(valid)
def test_a_valid_customer_is_answered_without_flask(paths: Paths, customer: dict[str, Any]) -> None:
    """The fast path answers a valid customer exactly as Flask does, including the order of the headers."""
    answer, fast = paths.ask(body=json.dumps(customer).encode())
    assert (answer.status_code, fast) == (200, True)


@given(valid, st.text(min_size=1))
def test_the_flag_of_a_valid_customer_is_answered_without_flask(
    paths: Paths, customer: dict[str, Any], key: str
) -> None:
    """The fast path answers the flag of OpenFeature exactly as Flask does, for the content type of its clients too."""
    body = json.dumps({"context": customer | {"targetingKey": f"x{key}"}}).encode()
    for content_type in ("application/json", "application/json; charset=utf-8"):
        answer, fast = paths.ask(body=body, path=SINGLE, content_type=content_type)
        assert (answer.status_code, fast) == (200, True)


@given((one_field_spoilt | anything).map(lambda value: json.dumps(value).encode()) | st.binary())
def test_only_a_200_is_answered_without_flask(paths: Paths, body: bytes) -> None:
    """The fast path answers exactly the requests that get a 200; Flask refuses all others, with their whole body."""
    answer, fast = paths.ask(body=body)
    assert fast == (answer.status_code == 200)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"query_string": "explain=true"}, 200),
        ({"query_string": "a=b"}, 200),
        ({"path": "/voucher/"}, 200),
        ({"path": "/segmentation-voucher/"}, 200),
        ({"content_type": "application/json; charset=UTF-8"}, 200),
        ({"content_type": "APPLICATION/JSON"}, 200),
        ({"content_type": "application/problem+json"}, 200),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": None}, 415),
        ({"method": "PUT"}, 405),
        ({"method": "GET"}, 405),
        ({"method": "OPTIONS"}, 200),
        ({"path": "/vouche"}, 404),
        ({"path": "/"}, 405),
        ({"body": BODY + b" " * MAX_BODY_BYTES}, 413),
        ({"environ": {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}}, 200),
        ({"environ": {"CONTENT_LENGTH": f"+{len(BODY)}", "wsgi.input_terminated": True}}, 200),
        ({"environ": {"CONTENT_LENGTH": "9" * 5000, "wsgi.input_terminated": True}}, 200),
        ({"environ": {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}}, 200),
    ],
)
def test_what_is_not_plain_goes_to_flask(paths: Paths, request_: dict[str, Any], status: int) -> None:
    """A request with another path, query, method, type or length goes to Flask with its complete body."""
    answer, fast = paths.ask(**{"body": BODY} | request_)
    assert (answer.status_code, fast) == (status, False)


@pytest.mark.parametrize("context", [{}, CUSTOMER, CUSTOMER | {"targetingKey": "1", "total_orders": -1}])
def test_a_flag_that_is_not_answered_goes_to_flask(paths: Paths, context: dict[str, Any]) -> None:
    """Flask refuses a context of OpenFeature that can't be answered."""
    answer, fast = paths.ask(body=json.dumps({"context": context}).encode(), path=SINGLE)
    assert (answer.status_code, fast) == (400, False)


def test_the_largest_body_is_plain(paths: Paths) -> None:
    """The fast path has the same size limit as the route."""
    answer, fast = paths.ask(body=BODY + b" " * (MAX_BODY_BYTES - len(BODY)))
    assert (answer.status_code, fast) == (200, True)


def test_the_app_takes_the_fast_path(standing: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask's request hooks run for other requests, but not for plain ones."""
    seen: list[str] = []
    functions = {None: [lambda: seen.append("before")]}
    monkeypatch.setattr(standing.client.application, "before_request_funcs", functions)
    assert standing().status_code == 200
    assert not seen
    assert standing("/segmentation-voucher/").status_code == 200
    assert seen == ["before"]
