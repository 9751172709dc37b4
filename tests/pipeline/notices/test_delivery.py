"""How a notice is sent: signed as Standard Webhooks says, tried again, and given up in time."""

import base64
import logging
import time
from datetime import UTC, datetime
from io import BytesIO

import pytest
import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from urllib3 import HTTPResponse

from dev.ports import free_port
from pipeline.notices import delivery
from pipeline.notices.content import TestNotice
from pipeline.notices.delivery import Answer, send
from pipeline.receiver import Receiver
from proofs.support.notice_receiver import CLOSE, DRIP, NoticeReceiver

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
NOTICE = TestNotice.by("ana", "")


def to(receiver: NoticeReceiver, form: str = "webhook", key: bytes = b"") -> Receiver:
    return Receiver(receiver.url, form, key)


def test_the_official_library_verifies_the_signature(receiver: NoticeReceiver) -> None:
    """The library of Standard Webhooks accepts the notice, and refuses another body, id or secret."""
    assert send(to(receiver, key=KEY), NOTICE) == Answer()
    (got,) = receiver.got
    webhook = Webhook(SECRET)
    assert webhook.verify(got.body, got.headers) == got.json
    assert got.json["type"] == "run.test"
    for body, headers, verifier in (
        (got.body + b" ", got.headers, webhook),
        (got.body, got.headers | {"webhook-id": "msg_other"}, webhook),
        (got.body, got.headers, Webhook(f"whsec_{base64.b64encode(bytes(32)).decode()}")),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body, headers)


def test_without_a_secret_nothing_is_signed(receiver: NoticeReceiver) -> None:
    """Without a secret there is no signature; id and time of the attempt are there."""
    send(to(receiver), NOTICE)
    (got,) = receiver.got
    assert "webhook-signature" not in got.headers
    assert got.headers["webhook-id"] == NOTICE.id
    assert abs(int(got.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert got.headers["user-agent"] == "voucher-select"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("answers", "attempts", "expected"),
    [
        ([200], 1, Answer()),
        ([202], 1, Answer()),
        ([204], 1, Answer()),
        ([503, 204], 2, Answer()),
        ([500, 429, 200], 3, Answer()),
        ([500], 3, Answer("it answered 500", retryable=True, is_down=True)),
        ([429], 3, Answer("it answered 429", retryable=True, is_down=True)),
        ([400], 1, Answer("it answered 400")),
        ([404], 1, Answer("it answered 404")),
        ([410], 1, Answer("it answered 410", is_down=True)),
        ([301], 1, Answer("it answered 301; redirects are not followed, so set the URL that it leads to")),
        ([CLOSE], 3, Answer("it can't be reached (it closed the connection)", retryable=True, is_down=True)),
        ([CLOSE, 200], 2, Answer()),
    ],
)
def test_what_an_answer_means(
    receiver: NoticeReceiver, answers: list[int | str], attempts: int, expected: Answer
) -> None:
    """2xx is success; a busy or broken receiver is tried again at once, another refusal is not; no redirect is
    followed, and each attempt has the same id and body.
    """
    receiver.answers = list(answers)
    assert send(to(receiver), NOTICE) == expected
    assert len(receiver.got) == attempts
    assert len({(each.id, each.body, each.path) for each in receiver.got}) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("url", "proxy", "cause"),
    [
        ("http://u:hunter2@127.0.0.1:1/hunter3", "", "connection refused"),
        ("http://u:hunter2@hunter.invalid/hunter3", "", "its host name can't be resolved"),
        ("http://u:hunter2@hunter.invalid/hunter3", "http://127.0.0.1:1", "the proxy failed"),
    ],
)
def test_a_receiver_that_is_down(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, url: str, proxy: str, cause: str
) -> None:
    """A receiver that can't be reached is tried again, and the error names why; neither it nor the log has the path of
    the URL.
    """
    monkeypatch.setenv("http_proxy", proxy)
    caplog.set_level(logging.DEBUG)
    found = send(Receiver(url, "webhook"), NOTICE)
    assert found == Answer(f"it can't be reached ({cause})", retryable=True, is_down=True)
    assert "hunter3" not in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("form", "body", "error"),
    [
        ("slack", b"no_service", "it answered 404 (no_service)"),
        ("slack", b"no_service_of_hunter2", "it answered 404"),
        ("slack", b"\xff" * 1000, "it answered 404"),
        ("webhook", b"no_service", "it answered 404"),
    ],
)
def test_slack_says_why(monkeypatch: pytest.MonkeyPatch, form: str, body: bytes, error: str) -> None:
    """Slack's own reason is shown if it is one of those that are known: another text may repeat the URL."""
    answer = requests.Response()
    answer.status_code, answer.raw = 404, HTTPResponse(BytesIO(body), preload_content=False)
    monkeypatch.setattr(requests, "post", lambda *_, **__: answer)
    assert send(Receiver("https://hooks.slack.com/x", form), NOTICE) == Answer(error)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("bundle", ["/no/such/bundle.pem", "/etc/hostname"])
def test_broken_tls_files_are_an_answer(monkeypatch: pytest.MonkeyPatch, bundle: str) -> None:
    """A certificate file that can't be read is reported like a receiver that is down."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    found = send(Receiver(f"https://127.0.0.1:{free_port()}/x", "webhook"), NOTICE)
    assert found.error
    assert found.error.startswith("it can't be reached (")


def test_a_slow_receiver_is_given_up(receiver: NoticeReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that sends a byte at a time is given up after the deadline, and not tried again."""
    monkeypatch.setattr(delivery, "DEADLINE", 1.0)
    receiver.answers = [DRIP]
    began = time.monotonic()
    assert send(to(receiver), NOTICE) == Answer("it did not answer within 1 s", is_down=True)
    assert time.monotonic() - began < 3
    assert len(receiver.got) == 1


def test_a_silent_receiver_is_given_up(receiver: NoticeReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that reads the request but doesn't answer is given up after the timeout."""
    monkeypatch.setattr(delivery, "TIMEOUT", 0.5)
    receiver.on_request = lambda _: receiver.closing.wait(20)  # type: ignore[assignment, func-returns-value]
    assert send(to(receiver), NOTICE) == Answer("it did not answer within 0.5 s", is_down=True)


def test_a_proxy_of_the_environment_is_used(receiver: NoticeReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver outside is reached by the proxy that the environment names."""
    monkeypatch.setenv("http_proxy", receiver.url.removesuffix("/hook"))
    assert send(Receiver("http://hooks.example/x", "webhook"), NOTICE) == Answer()
    assert receiver.got[0].path == "http://hooks.example/x"
