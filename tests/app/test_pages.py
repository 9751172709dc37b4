"""The page at /: what answers, since when, and how to ask it."""

import re
import shlex
from collections.abc import Callable
from html import unescape

from flask.testing import FlaskClient

Publish = Callable[..., None]


def test_the_page_names_the_run_and_how_to_ask(publish: Publish, client: FlaskClient) -> None:
    """Each kind has a curl command that works as it stands, whatever the country is called."""
    publish(countries={"Côte d'Ivoire <b>": 5})
    page = client.get("/").text
    assert "a" * 16 in page
    assert "<b>" not in page
    commands = [shlex.split(unescape(found)) for found in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)]
    assert len(commands) == 2
    for command in commands:
        body = command[command.index("-d") + 1]
        assert command[1].endswith("/voucher")
        assert client.post("/voucher", data=body.encode(), content_type="application/json").status_code == 200


def test_the_page_says_what_to_do_when_nothing_is_published(client: FlaskClient) -> None:
    """It names the DAG to switch on."""
    assert "Voucher_Select" in client.get("/").text
