"""Links behind proxies: X-Forwarded-Proto, -Host and -Prefix, from as many proxies as are trusted."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import RUN, start, stop

FORGED = {"Proto": "https", "Host": "forged.example", "Prefix": "/forged"}
OURS = {"Proto": "https", "Host": "vouchers.example", "Prefix": "/select"}
PATHS = (
    "/",
    "/history",
    f"/history/{RUN}",
    "/runs?limit=1",
    "/openapi.json",
    "/redoc/",
    "/swagger/",
    "/redoc",
    "/nothing",
)


def headers(*proxies: dict[str, str]) -> dict[str, str]:
    """Return the headers of proxies, of which each appends to those of the one before it."""
    names = dict.fromkeys(name for proxy in proxies for name in proxy)
    return {f"X-Forwarded-{name}": ", ".join(proxy[name] for proxy in proxies if name in proxy) for name in names}


@pytest.fixture(scope="module", params=[0, 1, 2])
def trusting(standing_database: str, request: pytest.FixtureRequest) -> Iterator[tuple[int, FlaskClient]]:
    """Yield the number of trusted proxies, and a client of an app that trusts so many."""
    app = start(standing_database, trusted_proxies=request.param)
    yield request.param, app.test_client()
    stop(app)


def everything(client: FlaskClient, sent: dict[str, str]) -> str:
    """Return the headers and bodies of pages, JSON, documentation, a redirect and a 404."""
    found = [client.get(path, headers={"Accept": "text/html", **sent}) for path in PATHS]
    return "\n".join(f"{response.headers}\n{response.text}" for response in found)


def command(client: FlaskClient, sent: dict[str, str]) -> str:
    """Return the URL in the page's command for a program."""
    [found] = re.findall(r"curl &#39;(.*?)/voucher\?explain", client.get("/", headers=sent).text)
    return str(found)


def test_nothing_follows_a_header_if_no_proxy_is_trusted(trusting: tuple[int, FlaskClient]) -> None:
    """Without a trusted proxy, forged headers appear in no link, redirect, document or header."""
    count, client = trusting
    assert ("forged" in everything(client, headers(FORGED))) is (count > 0)  # an app that trusts them shows them
    if count == 0:
        assert command(client, headers(FORGED)) == "http://localhost"


def test_links_follow_the_headers_of_a_proxy(trusting: tuple[int, FlaskClient]) -> None:
    """One set of headers is followed, also if two proxies are trusted, because the second may hand them on."""
    count, client = trusting
    expected = "https://vouchers.example/select" if count else "http://localhost"
    assert command(client, headers(OURS)) == expected
    page = client.get(f"/history/{RUN}", headers=headers(OURS)).text
    assert ('<a href="/select/history">' in page) is (count > 0)
    assert ('<a href="/history">' in page) is (count == 0)


def test_a_client_cannot_forge_what_a_trusted_proxy_appends_to(trusting: tuple[int, FlaskClient]) -> None:
    """If the trusted proxies append to the headers of a client, those of the client are in no link."""
    count, client = trusting
    inner = {"Proto": "http", "Host": "inner:8080", "Prefix": "/select"}
    proxies = [OURS, inner][2 - count :] if count else []
    sent = headers(FORGED, *proxies)
    assert "forged" not in everything(client, sent)
    assert (
        command(client, sent)
        == ("http://localhost", "http://inner:8080/select", "https://vouchers.example/select")[count]
    )
