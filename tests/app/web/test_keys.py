"""API keys: which requests need one, and how requests without one are refused."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from tests.app.conftest import Ask, start, stop

KEYS = ("one-key-of-16-or-more", "another-key-of-16-or-more")
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
OPEN = ("/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/redoc", "/redoc/", "/swagger", "/swagger/")


@pytest.fixture(scope="module")
def guarded(standing_database: str) -> Iterator[Flask]:
    app = start(standing_database, api_keys=KEYS)
    yield app
    stop(app)


@pytest.fixture
def client(guarded: Flask) -> FlaskClient:
    return guarded.test_client()


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER   {}"])
def test_each_key_opens_as_a_bearer_token(client: FlaskClient, key: str, header: str) -> None:
    """Every key is accepted as a bearer token, with the scheme in any case."""
    response = client.post("/voucher", json=CUSTOMER, headers={"Authorization": header.format(key)})
    assert (response.status_code, response.json) == (200, {"voucher_amount": 1000})


@pytest.mark.parametrize("user", ["", "marketing", "ü:ser".replace(":", "")])
def test_each_key_opens_as_anybodys_password(client: FlaskClient, user: str) -> None:
    """Every key is accepted as the password of any user, as a browser sends it."""
    for key in KEYS:
        assert client.get("/", headers={"Authorization": basic(user, key)}).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "Bearer", "Bearer ", f"Token {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]}x", f"Bearer {KEYS[0][:-1]}"),
        *(f"Bearer {KEYS[0].upper()}", f"Bearer {','.join(KEYS)}", f"Bearer {KEYS[0]},Bearer {KEYS[0]}"),
        *(
            "Basic",
            "Basic !!!",
            "Basic 4pyT",
            basic(KEYS[0], ""),
            basic("", f"{KEYS[0]} "),
            basic(KEYS[0], KEYS[0][:-1]),
        ),
        *("Bearer \xff\xfe", "Bearer " + "x" * 100_000, "Bearer token=" + KEYS[0], "Digest username=" + KEYS[0]),
    ],
)
def test_anything_else_is_refused(client: FlaskClient, header: str | None) -> None:
    """Any other header gets a 401 with a challenge that makes a browser ask for a password."""
    response = client.post("/voucher", json=CUSTOMER, headers={"Authorization": header} if header is not None else {})
    assert (response.status_code, response.mimetype, response.json["status"]) == (401, "application/problem+json", 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer, Basic realm="Voucher Select", charset="UTF-8"'
    assert "Authorization: Bearer KEY" in response.json["detail"]
    assert "Voucher-Run" not in response.headers
    assert not (header and len(header) > 8 and header in response.text)


def test_every_other_path_and_method_is_guarded(guarded: Flask, client: FlaskClient) -> None:
    """All routes require a key, except health, metrics and documentation."""
    opened = set()
    for rule in guarded.url_map.iter_rules():
        for method in rule.methods:
            path = rule.rule.replace("<path:filename>", "page.css")
            if client.open(path, method=method).status_code != 401:
                opened.add(rule.rule)
    assert opened == {*OPEN, "/oauth2-redirect.html", "/redoc/<path:filename>", "/swagger/<path:filename>"}


@pytest.mark.parametrize("path", OPEN)
def test_health_metrics_and_documentation_need_no_key(client: FlaskClient, path: str) -> None:
    """Public paths need no key and ignore an invalid one."""
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert client.get(path, headers=headers).status_code == (302 if path.endswith("/") else 200)


@pytest.mark.parametrize("path", ["//voucher", "/voucher/", "/./voucher", "/livez/../voucher", "/redoc/../voucher"])
@pytest.mark.parametrize("more", ["", "?x=/livez", "#/livez", ";/livez"])
def test_no_spelling_of_a_path_gets_around_the_keys(client: FlaskClient, path: str, more: str) -> None:
    """Only exact public paths are open; every other spelling requires a key, however Flask would route it."""
    response = client.post("/", json=CUSTOMER, environ_overrides={"PATH_INFO": path + more})
    assert response.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        *("/LIVEZ", "/livez/", "//livez", "/livez/voucher", "/readyz.json", "/metrics/", "/livez\x00"),
        "/livez/..;/voucher",
        *("/%2e%2e/voucher", "/livez%2f..%2fvoucher", "/%6civez%00", "/v%6fucher", "/redoc/%2e%2e/voucher"),
        *("/swagger/..%2fvoucher", "/redoc/..", "/redoc/.", "http://x/voucher", "/static/page.css", ""),
    ],
)
def test_what_looks_open_is_not(client: FlaskClient, path: str) -> None:
    """Paths that resemble public ones require a key: the decoded path, as Flask sees it, is compared."""
    assert client.get(path).status_code in (401, 405)
    assert client.post(path, json=CUSTOMER).status_code == 401


@pytest.mark.parametrize("path", ["/redoc/voucher", "/swagger/voucher", "/redoc//voucher", "/redoc/%252e%252e/voucher"])
def test_beside_the_documentations_files_there_is_nothing(client: FlaskClient, path: str) -> None:
    """The documentation's folders lead to no other route."""
    response = client.get(path, follow_redirects=True)
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")
    assert client.post(path, json=CUSTOMER).status_code in (308, 405)


def test_without_keys_everyone_may_ask(standing: Ask) -> None:
    """If no keys are set, every request is accepted with any Authorization header, and the document names no scheme."""
    response = standing.client.post("/voucher", json=CUSTOMER, headers={"Authorization": "Bearer whatever"})
    assert response.status_code == 200
    document = standing.client.get("/openapi.json").json
    assert "securitySchemes" not in document["components"]
    assert "security" not in document["paths"]["/voucher"]["post"]


def test_the_document_says_what_needs_a_key(client: FlaskClient) -> None:
    """Operations that require a key name the security schemes; the public ones do not."""
    document = client.get("/openapi.json").json
    validate(document)
    assert set(document["components"]["securitySchemes"]) == {"key", "password"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("security") == (None if path in OPEN else [{"key": []}, {"password": []}]), path
