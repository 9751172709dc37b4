"""Send one notice: as a webhook after Standard Webhooks, or in the form of Slack or Teams.

Source of the forms: the specification of Standard Webhooks, 1.0.0; Slack's incoming webhooks; Teams' workflow "When a
Teams webhook request is received", which takes an adaptive card.
"""

import base64
import hashlib
import hmac
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from pipeline.notices.content import Notice
from pipeline.notices.text import lines, links
from pipeline.receiver import Receiver

logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings repeat the path of the URL, which is a secret

TIMEOUT = 5  # seconds to connect, and between two pieces of the answer's head
DEADLINE = 10.0  # seconds for an attempt as a whole
PAUSES: tuple[float, ...] = (1.0, 3.0)  # seconds before each further attempt
RETRYABLE = {408, 425, 429, 500, 502, 503, 504}
GONE = 410  # after which a sender should stop, as Standard Webhooks says
# Why a receiver can't be reached, by the kind of error: its text may show the URL.
CAUSES: dict[type[BaseException], str] = {
    requests.exceptions.ProxyError: "the proxy failed",
    socket.gaierror: "its host name can't be resolved",
    ssl.SSLCertVerificationError: "its TLS certificate is not accepted",
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "it closed the connection",
}
# The reasons that Slack answers with. Others are not shown: a body may repeat the URL.
SLACK_REASONS = {
    *("action_prohibited", "channel_is_archived", "channel_not_found", "invalid_payload", "invalid_token"),
    *("no_active_hooks", "no_service", "no_service_id", "no_team", "no_text", "posting_to_general_channel_denied"),
    *("rate_limited", "rollup_error", "team_disabled", "user_not_found"),
}
MAX_REASON = 100  # bytes of an answer that are read
SLACK = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # Slack's three control characters
CARD = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True)
class Answer:
    """Why the receiver did not accept a notice; None if it did.

    retryable: whether to try again within seconds. is_down: whether other notices would fail too.
    """

    error: str | None = None
    retryable: bool = False
    is_down: bool = False


def send(receiver: Receiver, notice: Notice) -> Answer:
    """Send the notice. If the receiver is down or busy, try twice again. The answer shows no secret.

    It takes at most (1 + len(PAUSES)) * DEADLINE + sum(PAUSES) seconds.
    """
    answer = _attempt(receiver, notice)
    for pause in PAUSES:
        if not answer.retryable:
            break
        time.sleep(pause)
        answer = _attempt(receiver, notice)
    return answer


def _attempt(receiver: Receiver, notice: Notice) -> Answer:
    """Send it once. A thread has the request, because a timeout of requests starts again with each received byte."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    threading.Thread(target=lambda: answers.put(_post(receiver, notice)), daemon=True).start()
    try:
        return answers.get(timeout=DEADLINE)
    except Empty:
        return Answer(f"it did not answer within {DEADLINE:.0f} s", is_down=True)


def _post(receiver: Receiver, notice: Notice) -> Answer:
    body = _body(receiver, notice)
    headers = _headers(receiver, notice.id, body)
    try:
        with requests.post(
            receiver.url, body, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
        ) as answer:
            status, reason = answer.status_code, _reason(receiver, answer)
    except requests.Timeout:
        return Answer(f"it did not answer within {TIMEOUT} s", is_down=True)
    except (OSError, ValueError, HTTPError) as error:  # of requests, of its TLS files, of urllib3: may show the URL
        return Answer(f"it can't be reached ({_cause(error)})", retryable=True, is_down=True)
    if 200 <= status < 300:
        return Answer()
    where = "; redirects are not followed, so set the URL that it leads to" if 300 <= status < 400 else ""
    busy = status in RETRYABLE
    return Answer(f"it answered {status}{reason}{where}", retryable=busy, is_down=busy or status == GONE)


def _reason(receiver: Receiver, answer: requests.Response) -> str:
    if receiver.form != "slack" or answer.ok:
        return ""
    reason = answer.raw.read(MAX_REASON, decode_content=True).decode(errors="replace").strip()
    return f" ({reason})" if reason in SLACK_REASONS else ""


def _cause(error: BaseException) -> str:
    found: BaseException | None = error
    while found:
        for kind, cause in CAUSES.items():
            if isinstance(found, kind):
                return cause
        found = found.__cause__ or found.__context__
    return type(error).__name__


def _headers(receiver: Receiver, notice_id: str, body: bytes) -> Mapping[str, str]:
    """Return the headers, those of Standard Webhooks too. The timestamp is that of the attempt, against replays."""
    at = str(int(time.time()))
    headers = {"Content-Type": "application/json", "User-Agent": "voucher-select"}
    headers |= {"webhook-id": notice_id, "webhook-timestamp": at}
    if receiver.key:
        digest = hmac.digest(receiver.key, b".".join((notice_id.encode(), at.encode(), body)), hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _body(receiver: Receiver, notice: Notice) -> bytes:
    if receiver.form == "webhook":
        return notice.model_dump_json().encode()
    return json.dumps(_slack(notice) if receiver.form == "slack" else _teams(notice), ensure_ascii=False).encode()


def _slack(notice: Notice) -> dict[str, Any]:
    title, *others = map(_escape, lines(notice))
    linked = [f"<{_escape(url)}|{name}>" for name, url in links(notice)]
    return {"text": "\n".join([f"*{title}*", *others, *linked])}


def _escape(text: str) -> str:
    return "".join(SLACK.get(char, char) for char in text)


def _teams(notice: Notice) -> dict[str, Any]:
    title, *others = lines(notice)
    runs = [
        {"type": "TextRun", "text": title, "weight": "Bolder"},
        *({"type": "TextRun", "text": line} for line in others),
    ]
    blocks = [{"type": "RichTextBlock", "inlines": [run]} for run in runs]  # unlike a TextBlock, it knows no Markdown
    actions = [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in links(notice)]
    card = {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.2"}
    attachment = {"contentType": CARD, "content": card | {"body": blocks, "actions": actions}}
    return {"type": "message", "attachments": [attachment]}
