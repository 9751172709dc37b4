"""A kind that no code names: days since the first order, as the published run declares it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from tests.app.conftest import DAY, KINDS, Ask

Publish = Callable[..., None]

KIND = "tenure_segment"
TENURE = {KIND: ("days_since_first_order", [("0-99", 0, 99, 7), ("100+", 100, None, 8)])}
TITLES = {KIND: {"0-99": "new"}}


@pytest.fixture
def tenure(publish: Publish) -> None:
    """Publish a run with the kind and the usual ones."""
    publish(kinds=KINDS | TENURE, titles=TITLES)


def asked(ask: Ask, first_order: str | None, path: str = "/voucher") -> dict[str, object]:
    found = ask(path, segment_name=KIND, total_orders=None, first_order_ts=first_order).json
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("tenure")
@pytest.mark.parametrize(("days", "amount"), [(-1, 7), (0, 7), (99, 7), (100, 8), (9999, 8)])
def test_the_days_since_the_first_order_choose_the_segment(ask: Ask, days: int, amount: int) -> None:
    """The kind reads `first_order_ts` and counts to the reference day; the day after it counts as 0."""
    assert asked(ask, str(DAY - timedelta(days=days))) == {"voucher_amount": amount}


@pytest.mark.usefixtures("tenure")
def test_its_field_is_required_and_not_in_the_future(ask: Ask) -> None:
    """A missing first order, and one after the reference day, get a 422 that names the field."""
    for first_order in (None, str(DAY + timedelta(days=2))):
        found = asked(ask, first_order)
        assert (found["status"], [error["field"] for error in found["errors"]]) == (422, ["first_order_ts"])


@pytest.mark.usefixtures("tenure")
def test_its_explanation_names_event_and_titles(ask: Ask) -> None:
    """The sentence counts from the first order; the titles of kind and segment are fields."""
    found = asked(ask, str(DAY - timedelta(days=40)), "/voucher?explain=true")
    assert str(found["because"]).startswith("40 days from the first order to 2018-07-15, so segment 0-99: ")
    assert (found["title"], found["kind_title"]) == ("new", "Days since the first order")
    assert asked(ask, "2010-01-01", "/voucher?explain=true")["title"] is None


@pytest.mark.usefixtures("tenure")
def test_it_is_documented_and_its_example_answered(client: FlaskClient, ask: Ask) -> None:
    """The document has a schema that requires the field, and an example that the API answers."""
    document = client.get("/openapi.json").json
    schemas = document["components"]["schemas"]
    assert schemas["Customer"]["discriminator"]["mapping"][KIND] == "#/components/schemas/TenureCustomer"
    example = document["paths"]["/voucher"]["post"]["requestBody"]["content"]["application/json"]["examples"][KIND]
    validator = Draft202012Validator(schemas["TenureCustomer"] | {"components": {"schemas": schemas}})
    assert validator.is_valid(example["value"])
    assert not validator.is_valid(example["value"] | {"first_order_ts": None})
    assert client.post("/voucher", json=example["value"]).json == {"voucher_amount": 8}
    assert KIND in ask(segment_name="vip_segment").json["detail"]


@pytest.mark.usefixtures("tenure")
def test_the_page_tries_it(client: FlaskClient) -> None:
    """The form has the kind and its field; it shows the answer, or asks for the day."""
    query = {"country": "Peru", "segment_name": KIND, "first_order_ts": "2018-07-01"}
    page = client.get("/", query_string=query).text
    assert '<label for="first_order_ts">Day of the first order</label>' in page
    assert "14 days from the first order to 2018-07-15, so segment 0-99" in page
    assert '"first_order_ts": "2018-07-01"' in page.replace("&#34;", '"')
    empty = client.get("/", query_string=query | {"first_order_ts": " "}).text
    assert "Enter the day of the first order." in empty


def test_days_count_to_the_current_day_if_none_is_pinned(publish: Publish, ask: Ask) -> None:
    """Without a pinned day, the days of this kind count to the current UTC day, as those since the last order do."""
    publish(kinds=TENURE, today=None)
    before = datetime.now(UTC).date()
    found = asked(ask, "2018-07-01", "/voucher?explain=true")
    assert found["measured"] in {(day - DAY.replace(day=1)).days for day in (before, datetime.now(UTC).date())}
