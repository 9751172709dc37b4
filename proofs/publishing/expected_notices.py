"""What a receiver was told, compared with the tables and the numbered histories. Used by the proof `notices`."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pipeline.rules.measures import MEASURES
from pipeline.rules.segments import SegmentBook
from proofs.publishing.histories import COUNTRIES, CUSTOMERS, Customer
from proofs.publishing.running_stack import RunningStack
from proofs.support.notice_receiver import NoticeReceiver, Received

SECRET = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
RENAMED = "Chile"
LABELS = {(kind.name, segment.lower): segment.label for kind in SegmentBook.load().kinds for segment in kind.segments}

Answers = dict[tuple[str, str, str], int]


def without_a_country() -> list[Customer]:
    """Return the customers with another country instead of the last one, which an audit refuses."""
    return [replace(each, country=RENAMED) if each.country == COUNTRIES[-1] else each for each in CUSTOMERS]


def answers(number: int | None, *, refused: bool = False) -> Answers:
    """Return the amounts of a history by country, kind and customers; of None, none."""
    customers = [] if number is None else without_a_country() if refused else CUSTOMERS
    return {
        (each.country, each.kind, f"{LABELS[each.kind, each.measured]} {MEASURES[each.measure].unit}"): int(
            each.rows(number or 0)[0]["voucher_amount"]
        )
        for each in customers
    }


@dataclass
class ExpectedNotices:
    """Compares what happened since `begin` with what the receiver got since then."""

    stack: RunningStack
    receiver: NoticeReceiver
    begun_at: Any = None
    bodies: dict[str, bytes] = field(default_factory=dict)

    def begin(self) -> None:
        self.receiver.got.clear()
        self.bodies.clear()
        ((self.begun_at,),) = self.stack.query("SELECT clock_timestamp()")

    def end(self) -> tuple[int, int, list[str]]:
        """Return how much happened, how many notices came, and what is wrong."""
        faults = [fault for received in self.receiver.got for fault in self._wrong(received)]
        told = [_told(each) for each in self._distinct()]
        published = self.stack.query(
            """SELECT CASE action WHEN 'rollback' THEN 'rolled_back' ELSE 'published' END, run_id, previous_run_id,
                action, reason
            FROM voucher.publication WHERE at > %s ORDER BY at""",
            self.begun_at,
        )
        refused = self.stack.query(
            """SELECT event, run_id, previous_run_id, NULL, reason
            FROM voucher.notice WHERE at > %s AND event = 'refused'""",
            self.begun_at,
        )
        happened = [*published, *refused]
        if sorted(told, key=str) != sorted(happened, key=str):
            faults.append(f"{happened} happened, but {told} was told")
        faults += [
            f"notice {notice} is not recorded as sent"
            for (notice,) in self.stack.query("SELECT notice_id FROM voucher.notice WHERE sent_at IS NULL")
        ]
        return len(happened), len(self.receiver.got), faults

    def _distinct(self) -> list[Received]:
        return list({each.id: each for each in self.receiver.got}.values())

    def _wrong(self, received: Received) -> Iterator[str]:
        """Yield what is wrong with a notice: signature, body of a repeat, or answers."""
        try:
            Webhook(SECRET).verify(received.body, received.headers)
        except WebhookVerificationError as error:
            yield f"notice {received.id}: {error}"
        if self.bodies.setdefault(received.id, received.body) != received.body:
            yield f"notice {received.id} was repeated with another body"
        numbers, data = self.stack.histories(), received.json["data"]
        old = answers(numbers[data["previous_run_id"]])
        new = answers(numbers[data["run_id"]], refused=received.json["type"] == "run.refused")
        found = {
            (each["country"], each["kind"], each["customers"]): tuple(each[name] for name in ("old", "new"))
            for each in data["answers"]
        }
        expected = {each: (old.get(each), new.get(each)) for each in {*old, *new} if old.get(each) != new.get(each)}
        if found != expected or data["differing"] != len(expected):
            yield f"notice {received.id} of run {data['run_id']} has other answers than its history"


def _told(received: Received) -> tuple[str, ...]:
    """Return what a notice says, as the log of publications has it."""
    names = ("run_id", "previous_run_id", "action", "reason")
    return received.json["type"].removeprefix("run."), *(received.json["data"][name] for name in names)
