"""docs/notices.md: its example has the form of a real notice, and its code verifies one."""

import json
import re
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from pipeline.notices.content import RunNotice, schema
from pipeline.notices.delivery import RETRYABLE
from proofs.support.notice_receiver import NoticeReceiver
from tests.conftest import ROOT
from tests.pipeline.notices.test_delivery import SECRET

PAGE = (ROOT / "docs" / "notices.md").read_text()
(EXAMPLE,), (VERIFYING,) = (
    re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for language in ("json", "python")
)


def keys(value: Any) -> Any:
    """Return the names in a JSON value, in order, and those of the first element of each list."""
    if isinstance(value, dict):
        return [(name, keys(each)) for name, each in value.items()]
    return [keys(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def test_the_example_has_the_form_of_a_notice(
    command: Callable[..., CompletedProcess[str]], receiver: NoticeReceiver, source: Callable[..., str]
) -> None:
    """The example is valid, has the fields of a real rollback in their order, and nothing that a model would change."""
    for amount in (1.0, 2.0):
        assert command("run", "--source", source(amount)).returncode == 0
    first = json.loads(command("runs", "--json").stdout)["runs"][-1]["run_id"]
    sent = command(
        "rollback", first, "--reason", "x", VOUCHER_NOTIFY_URL=receiver.url, VOUCHER_PAGE_URL="https://v.example"
    )
    assert sent.returncode == 0
    example = json.loads(EXAMPLE)
    assert example["type"] == receiver.got[-1].json["type"]
    assert keys(example) == keys(receiver.got[-1].json)
    jsonschema.validate(example, json.loads(schema()))
    again = RunNotice.model_validate(example | {"id": "msg_1"})
    assert json.loads(again.model_dump_json()) == example


def test_the_code_verifies_a_notice(command: Callable[..., CompletedProcess[str]], receiver: NoticeReceiver) -> None:
    """The function of the page returns a signed notice, and raises for another body."""
    known: dict[str, Any] = {}
    exec(VERIFYING, known)
    environ = {"VOUCHER_NOTIFY_URL": receiver.url, "VOUCHER_NOTIFY_SECRET": SECRET}
    assert "It is signed." in command("notify", "--test", **environ).stdout
    (got,) = receiver.got
    assert known["receive"](got.body, got.headers, SECRET)["type"] == "run.test"
    with pytest.raises(WebhookVerificationError):
        known["receive"](got.body + b" ", got.headers, SECRET)


def test_the_page_names_what_is_retried() -> None:
    """The page lists the status codes after which a notice is tried again at once."""
    (named,) = re.findall(r"answers ([\d, or-]+), the notice is tried", PAGE)
    found = set()
    for each in re.findall(r"\d+(?:-\d+)?", named):
        low, _, high = each.partition("-")
        found |= {*range(int(low), int(high or low) + 1)}
    assert found == RETRYABLE
