"""The form for one customer, and its answer."""

import json
import re
import subprocess
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import KINDS, Tables, start, stop
from tests.app.page.conftest import Publish, part, words


def test_an_example_is_answered_before_anything_is_tried(still: FlaskClient) -> None:
    """Before a customer is tried, the form holds an example customer, and the page shows the answer for it."""
    page = still.get("/?country=Peru").text
    assert "15 orders, so segment 14-37: 1200 was used in 30 of 30 vouchers, 100 %." in part(page, "try")
    assert re.search(r'name="total_orders"[^>]* value="15"', page)
    assert re.search(r'name="last_order_ts"[^>]* value="2018-06-15"', page)


@pytest.mark.parametrize(
    ("query", "customer"),
    [
        ("segment_name=frequent_segment&total_orders=27", {"total_orders": 27}),
        ("segment_name=frequent_segment&total_orders=+27+&last_order_ts=soon", {"total_orders": 27}),
        ("segment_name=frequent_segment&total_orders=0", {"total_orders": 0}),
        ("segment_name=recency_segment&last_order_ts=2018-05-03", {"last_order_ts": "2018-05-03"}),
        ("segment_name=recency_segment&last_order_ts=2018-05-03T23:30:00-02:00&total_orders=", {"last_order_ts": "2018-05-04"}),
    ],
)  # fmt: skip
def test_a_tried_customer_is_answered_as_the_service_answers(
    still: FlaskClient, query: str, customer: dict[str, Any]
) -> None:
    """The page shows the amount and sentence of the API, and ignores the field of the other kind."""
    kind = query.partition("=")[2].partition("&")[0]
    answer = still.post("/voucher?explain=true", json={"country_code": "Peru", "segment_name": kind} | customer).json
    tried = part(still.get(f"/?country=Peru&{query}").text, "try")
    assert f"Voucher PEN {answer['voucher_amount']:,} {answer['because']}" in tried
    assert "Example" not in tried


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("segment_name=frequent_segment&total_orders=", "total_orders", "Enter the number of orders."),
        ("segment_name=frequent_segment", "total_orders", "Enter the number of orders."),
        *(
            (f"segment_name=frequent_segment&total_orders={given}", "total_orders", "Enter the number of orders as a whole number, 0 or more.")
            for given in ("many", "2.5", "-1", "1e3", "\u0663", "1%00", "9" * 5000)
        ),
        ("segment_name=recency_segment&total_orders=3", "last_order_ts", "Enter the day of the last order."),
        ("segment_name=recency_segment&last_order_ts=soon", "last_order_ts", "Enter the day of the last order like 2018-05-03."),
        ("segment_name=recency_segment&last_order_ts=2018-07-20", "last_order_ts", "Must not be more than a day after the reference day 2018-07-15"),
        ("segment_name=vip_segment", "segment_name", "Choose what the voucher depends on."),
        ("segment_name=", "segment_name", "Choose what the voucher depends on."),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said_beside_its_field(
    still: FlaskClient, query: str, field: str, said: str
) -> None:
    """An invalid field is marked, keeps its value and has an error message beside it; the page shows no answer."""
    response = still.get(f"/?country=Peru&{query}")
    assert response.status_code == 200
    assert said in words(re.search(rf'<p class="error" id="{field}-error">(.*?)</p>', response.text, re.DOTALL)[1])
    assert f'aria-invalid="true" aria-describedby="{field}-error"' in response.text
    assert words(response.text).startswith("Error - Voucher Select")
    assert "curl" not in part(response.text, "try")
    if (given := query.rpartition("=")[2]) in ("many", "2.5", "soon"):
        assert f'value="{given}"' in response.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"countries": {"Peru": 0}, "basis": "country", "uses": None, "runner_up": (None, None)},
            "Voucher PEN 1,000 A guess ",
        ),
        ({"evidence": (2, None, None, None)}, "Voucher PEN 1,000 Too few sends "),
        ({"evidence": (30, 0.3, 0.7, False)}, "Voucher PEN 1,000 Not clear "),
        ({"tied": True}, "Voucher PEN 1,000 A tie "),
        ({"evidence": (30, 0.6, 0.7, True)}, "Voucher PEN 1,000 3 orders, so segment"),
    ],
    ids=["guess", "few", "unclear", "tie", "clear"],
)
def test_an_unsure_answer_is_marked(publish: Publish, client: FlaskClient, options: dict[str, Any], said: str) -> None:
    """An answer that is a guess, a tie or not clear says so beside its amount; a clear one has no mark."""
    publish(**{"countries": {"Peru": 10}, "uses": 5, "runner_up": (3520, 5)} | options)
    page = client.get("/?country=Peru&segment_name=frequent_segment&total_orders=3").text
    assert said in part(page, "try")


@pytest.mark.parametrize("country", ["Peru", "Côte d'Ivoire", 'A "quoted" \\ one; $(date) `date`', "<b>"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_does_the_same_in_a_shell(publish: Publish, client: FlaskClient, country: str, kind: str) -> None:
    """The curl command passes any country as one argument, and its request gets the answer of the page."""
    publish(countries={country: 5})
    page = client.get("/", query_string={"segment_name": kind, "total_orders": "3", "last_order_ts": "2018-07-01"}).text
    command = unescape(re.search(r'<code id="command">(.*?)</code>', page, re.DOTALL)[1])
    shell = ["sh", "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"]
    url, *header, data, body = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    assert url == "http://localhost/voucher?explain=true"
    assert (header, data) == (["--header", "Content-Type: application/json"], "--data-raw")
    answer = client.post(url, data=body.encode(), content_type="application/json")
    assert answer.json["because"] in unescape(page)
    assert json.loads(body)["country_code"] == country


def test_the_command_bears_a_key_where_one_is_needed(database: str, tables: Tables) -> None:
    """If keys are set, the curl command names a shell variable for the key, and the page takes a key as password."""
    tables.publish()
    app = start(database, api_keys=("a-key-of-16-or-more",))
    client = app.test_client()
    refused, page = client.get("/"), client.get("/", auth=("marketing", "a-key-of-16-or-more"))
    stop(app)
    assert (refused.status_code, page.status_code) == (401, 200)
    assert '--header "Authorization: Bearer $VOUCHER_API_KEY"' in unescape(page.text)
    assert "a-key-of" not in page.text
