"""Security headers and CORS: what browsers may do with a response, and which origins may read it."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import Ask, start, stop

SHOP = "https://shop.example"
KEY = "a-key-of-16-or-more"
ASK_FIRST = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def open_to_shop(standing_database: str) -> Iterator[FlaskClient]:
    """Yield a client of an app that requires a key and allows the shop's origin."""
    app = start(standing_database, cors_origins=(SHOP, "http://localhost:3000"), api_keys=(KEY,))
    yield app.test_client()
    stop(app)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/livez", 200), ("GET", "/metrics", 200), ("GET", "/openapi.json", 200), ("GET", "/nowhere", 404)),
        *(("GET", "/voucher", 405), ("POST", "/voucher", 415), ("OPTIONS", "/voucher", 200), ("HEAD", "/readyz", 200)),
    ],
)
def test_every_answer_is_for_no_page_and_no_cache(standing: Ask, method: str, path: str, status: int) -> None:
    """Every response, including a problem, forbids scripts, framing, content sniffing and caching."""
    response = standing.client.open(path, method=method)
    assert response.status_code == status
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"


def test_no_header_stands_twice(standing: Ask) -> None:
    """No header is repeated, even if the response sets its own policy or cache lifetime."""
    for path in ("/", "/redoc", "/static/page.css", "/livez"):
        names = [name.lower() for name, _ in standing.client.get(path).headers]
        assert len(names) == len(set(names)), path


def test_the_page_may_use_what_is_served_beside_it(standing: Ask) -> None:
    """The page's policy allows files of this host but no inline scripts or styles, and the page has none."""
    page = standing.client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert policy == "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    assert not re.search(r"<style|style=|<script>|\son\w+=", page.text)
    assert standing.client.get(re.search(r'href="(/static/[^"]+\.css)"', page.text)[1]).status_code == 200


@pytest.mark.parametrize("path", ["/redoc", "/swagger"])
def test_the_documentation_may_not_be_framed_either(standing: Ask, path: str) -> None:
    """The documentation's own policy forbids framing."""
    assert "frame-ancestors 'none'" in standing.client.get(path).headers["Content-Security-Policy"]


@pytest.mark.parametrize("origin", [None, SHOP])
def test_by_default_no_page_of_another_origin_may_read(standing: Ask, origin: str | None) -> None:
    """By default, no response allows another origin, with or without a preflight."""
    headers = {"Origin": origin, **ASK_FIRST} if origin else {}
    for method in ("GET", "OPTIONS"):
        response = standing.client.open("/readyz", method=method, headers=headers)
        assert not [name for name, _ in response.headers if name.lower().startswith("access-control-")]
        assert "Vary" not in response.headers


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_pages_of_the_named_origins_may_ask_and_read(open_to_shop: FlaskClient, origin: str) -> None:
    """An allowed origin gets its preflight answered without a key, and can read the response and the run's header."""
    first = open_to_shop.options("/voucher", headers={"Origin": origin, **ASK_FIRST})
    assert (first.status_code, first.data) == (204, b"")
    assert first.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in first.headers["Access-Control-Allow-Methods"]
    assert first.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    then = open_to_shop.post("/voucher", json=customer, headers={"Origin": origin, "Authorization": f"Bearer {KEY}"})
    assert (then.status_code, then.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert (then.headers["Vary"], then.headers["Access-Control-Expose-Headers"]) == ("Origin", "*")
    assert "Access-Control-Allow-Credentials" not in then.headers


@pytest.mark.parametrize(
    "asked",
    [
        *("sentry-trace, baggage", "traceparent,tracestate", "x-datadog-trace-id, x-datadog-origin", "x-request-id"),
        *("content-type,b3,x-b3-traceid", "authorization,x-amzn-trace-id,newrelic"),
    ],
)
def test_a_page_may_send_what_its_tracing_adds(open_to_shop: FlaskClient, asked: str) -> None:
    """The preflight allows the headers of tracing libraries, so that a shop that uses tracing gets vouchers."""
    headers = {"Origin": SHOP, **ASK_FIRST, "Access-Control-Request-Headers": asked}
    assert open_to_shop.options("/voucher", headers=headers).headers["Access-Control-Allow-Headers"] == asked


@pytest.mark.parametrize("asked", ["", " ", "a b", "x:y", "(x)", "x,,y", "*/*", "é"])
def test_what_is_no_name_of_a_header_is_not_echoed(open_to_shop: FlaskClient, asked: str) -> None:
    """The preflight does not echo invalid header names, and it succeeds."""
    headers = {"Origin": SHOP, **ASK_FIRST, "Access-Control-Request-Headers": asked}
    first = open_to_shop.options("/voucher", headers=headers)
    assert first.status_code == 204
    assert "Access-Control-Allow-Headers" not in first.headers


def test_a_refusal_can_be_read_by_the_page_that_caused_it(open_to_shop: FlaskClient) -> None:
    """A 401 has CORS headers; without them the page's author would only see a network error."""
    response = open_to_shop.post("/voucher", headers={"Origin": SHOP})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (401, SHOP)


@pytest.mark.parametrize(
    "origin",
    [
        *(None, "", "null", "*", "https://shop.example.evil.test", "https://evil-shop.example"),
        "https://shop.example:443",
        *("http://shop.example", "https://SHOP.example", "https://shop.example/", "https://a.shop.example"),
    ],
)
def test_pages_of_other_origins_may_not(open_to_shop: FlaskClient, origin: str | None) -> None:
    """Only exact origins are allowed; the Vary header tells caches that responses differ by origin."""
    for headers in ({}, ASK_FIRST):
        response = open_to_shop.options(
            "/readyz", headers={**headers, **({} if origin is None else {"Origin": origin})}
        )
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Vary"] == "Origin"


def test_a_preflight_opens_nothing_to_who_has_no_key(open_to_shop: FlaskClient) -> None:
    """Neither preflight headers on other methods nor OPTIONS without these headers bypass the key."""
    headers = {"Origin": SHOP, **ASK_FIRST}
    for method in ("GET", "HEAD", "POST", "PUT"):
        assert open_to_shop.open("/voucher", method=method, headers=headers).status_code == 401
    assert open_to_shop.options("/voucher", headers={"Origin": SHOP}).status_code == 401
