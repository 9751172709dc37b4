"""The flag by OpenFeature's own JavaScript clients for servers and for browsers, unchanged, in Node."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.app.ofrep.conftest import CUSTOMER, KEY, Service, example

pytestmark = pytest.mark.long  # npm fetches the clients

CONTEXTS: dict[str, dict[str, Any]] = {
    **{str(number): {"targetingKey": str(number)} | CUSTOMER for number in range(60)},
    "bad": {"targetingKey": "1"} | CUSTOMER | {"total_orders": -1},
    "unknown": {"targetingKey": "1"} | CUSTOMER | {"country_code": "Atlantis"},
}


def run(folder: Path, program: str, url: str, contexts: dict[str, dict[str, Any]], key: str = KEY) -> dict[str, Any]:
    given = json.dumps({"url": url, "key": key, "contexts": contexts})
    environ = {"PATH": os.environ["PATH"]}
    ended = subprocess.run(
        ["node", program], cwd=folder, env=environ, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def check(found: dict[str, Any], service: Service) -> None:
    """Compare the evaluations with /voucher, and the refusals with the protocol's codes."""
    for name, evaluation in found.items():
        if name.isdecimal():
            told = service.voucher(customer_id=name)
            assert evaluation["value"] == told["voucher_amount"]
            assert evaluation["variant"] == f"frequent_segment {told['segment']}"
            assert evaluation["reason"] == ("TARGETING_MATCH" if told["chosen_by"] == "table" else "SPLIT")
            for field in ("because", "propensity", "currency"):
                assert evaluation["flagMetadata"][field] == told[field]
    for name, code in (("bad", "INVALID_CONTEXT"), ("unknown", "INVALID_CONTEXT"), ("another flag", "FLAG_NOT_FOUND")):
        assert (found[name]["value"], found[name]["errorCode"], found[name]["reason"]) == (-1, code, "ERROR"), name


def test_the_client_for_servers_gets_what_voucher_says(node: Path, service: Service) -> None:
    """Value, variant, reason and metadata are those of /voucher; a refusal gives the default and the error code."""
    found = run(node, "server.mjs", service.url, CONTEXTS)
    assert len(found) == len(CONTEXTS) + 2
    check(found, service)
    assert (found["another type"]["value"], found["another type"]["errorCode"]) == ("none", "TYPE_MISMATCH")
    without_key = run(node, "server.mjs", service.url, {"1": CONTEXTS["1"]}, key="a-wrong-key-of-16")
    assert (without_key["1"]["value"], without_key["1"]["errorCode"]) == (-1, "GENERAL")


def test_the_client_for_browsers_asks_once_and_polls_with_the_etag(node: Path, service: Service) -> None:
    """The client gets all flags at once; its polls send the ETag and get 304; a change of context brings new values."""
    found = run(node, "web.mjs", service.url, CONTEXTS)
    check(found["evaluations"], service)
    first, *polls = found["polls"]["requests"]
    assert (first["path"], first["status"], first["ifNoneMatch"]) == ("/ofrep/v1/evaluate/flags", 200, None)
    assert len(polls) >= 2
    assert {(poll["status"], poll["ifNoneMatch"]) for poll in polls} == {(304, first["etag"])}
    assert found["polls"]["changes"] == 0


def test_the_client_for_browsers_starts_before_the_customer_is_known(node: Path, service: Service) -> None:
    """With a targeting key alone the client starts, and gives the default until the context has the customer."""
    found = run(node, "web.mjs", service.url, {"unknown yet": {"targetingKey": "1"}, "1": CONTEXTS["1"]})["evaluations"]
    assert (found["unknown yet"]["value"], found["unknown yet"]["errorCode"]) == (-1, "INVALID_CONTEXT")
    assert found["1"]["value"] == service.voucher(customer_id="1")["voucher_amount"]


def test_the_example_of_the_guide_works(node: Path, service: Service) -> None:
    """The JavaScript program of docs/api.md prints what /voucher says."""
    (node / "example.mjs").write_text(example("js", service))
    ended = subprocess.run(["node", "example.mjs"], cwd=node, capture_output=True, text=True, timeout=60, check=False)
    told = service.voucher(customer_id=123, total_orders=15)
    printed = f"{told['voucher_amount']} frequent_segment {told['segment']} TARGETING_MATCH {told['because']}\n"
    assert ended.stdout == printed, ended.stderr
