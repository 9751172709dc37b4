"""The flag by OpenFeature's own Python client, unchanged."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from tests.app.conftest import Tables, served
from tests.app.ofrep.conftest import CUSTOMER, KEY, Service, example

pytestmark = pytest.mark.long  # starts services, as the JavaScript clients do


def connect(url: str, key: str = KEY) -> OpenFeatureClient:
    provider = OFREPProvider(url, headers_factory=lambda: {"Authorization": f"Bearer {key}"})
    api.set_provider(provider, domain=url + key)
    return api.get_client(domain=url + key)


@pytest.fixture
def client(service: Service) -> Iterator[OpenFeatureClient]:
    yield connect(service.url)
    api.shutdown()


def context(targeting_key: str | None = "123", **fields: Any) -> EvaluationContext:
    return EvaluationContext(targeting_key, CUSTOMER | fields)


def test_each_customer_gets_what_voucher_says(service: Service, client: OpenFeatureClient) -> None:
    """Value, variant, reason and metadata are those of /voucher for the customer whose id the targeting key is."""
    reasons = set()
    for number in range(60):
        found = client.get_integer_details("voucher", -1, context(str(number)))
        told = service.voucher(customer_id=str(number))
        assert (found.value, found.error_code) == (told["voucher_amount"], None)
        assert found.variant == f"frequent_segment {told['segment']}"
        assert found.flag_metadata == {"run": told["run_id"]} | {
            name: told[name]
            for name in ("country_code", "segment_name", "segment", "chosen_by", "propensity", "currency", "because")
        }
        reasons.add((told["chosen_by"] == "table", str(found.reason)))
    assert reasons == {(True, "TARGETING_MATCH"), (False, "SPLIT")}


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        (context(total_orders=-1), "INVALID_CONTEXT", "total_orders must be a whole number"),
        (context(country_code="Atlantis"), "INVALID_CONTEXT", "Unknown country_code 'Atlantis'"),
        (context(None), "TARGETING_KEY_MISSING", "targetingKey is required"),
        (None, "TARGETING_KEY_MISSING", "targetingKey is required"),
    ],
)
def test_a_refusal_gives_the_default_and_says_why(
    client: OpenFeatureClient, sent: EvaluationContext | None, code: str, words: str
) -> None:
    """For a context that is refused, the application gets its default value, the error code and the reason."""
    found = client.get_integer_details("voucher", -1, sent)
    assert (found.value, found.error_code, str(found.reason)) == (-1, code, "ERROR")
    assert words in (found.error_message or "")


def test_another_flag_type_or_key_gives_the_default(service: Service, client: OpenFeatureClient) -> None:
    """Another flag, another type and a wrong API key are errors that the SDK knows; none raises."""
    other = client.get_integer_details("discount", -1, context())
    assert (other.value, other.error_code) == (-1, "FLAG_NOT_FOUND")
    assert "one flag: voucher" in (other.error_message or "")
    text = client.get_string_details("voucher", "none", context())
    assert (text.value, text.error_code) == ("none", "TYPE_MISMATCH")
    unknown = connect(service.url, "a-wrong-key-of-16").get_integer_details("voucher", -1, context())
    assert (unknown.value, unknown.error_code, unknown.error_message) == (-1, "GENERAL", "unauthorized")


def test_the_example_of_the_guide_works(service: Service) -> None:
    """The Python program of docs/api.md prints what /voucher says."""
    ended = subprocess.run(
        [sys.executable, "-c", example("python", service)], capture_output=True, text=True, timeout=60, check=False
    )
    told = service.voucher(customer_id=123, total_orders=15)
    printed = f"{told['voucher_amount']} frequent_segment {told['segment']} TARGETING_MATCH {told['because']}\n"
    assert ended.stdout == printed, ended.stderr


def test_amounts_with_cents_are_floats(database: str) -> None:
    """If an amount of the run has cents, every amount can be read as a float, the whole ones too."""
    bounds = [("0-1", 0, 1, 1000), ("2+", 2, None, 1000.5)]
    Tables(database).publish(kinds={"frequent_segment": ("total_orders", bounds)})
    with served(database) as url:
        found = [connect(url).get_float_details("voucher", -1.0, context(total_orders=orders)) for orders in (1, 2)]
    api.shutdown()
    assert [(each.value, each.error_code) for each in found] == [(1000.0, None), (1000.5, None)]
