"""What a notice says: its JSON after Standard Webhooks, and its text for a chat. docs/notices.md describes both."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from pipeline.publish.changes.models import Amount, Changes, Compared, Model

MAX_ANSWERS = 50  # in the JSON: Standard Webhooks advises against more than 20 kB
MAX_LINES = 10  # of answers in a text
EVENTS = {
    "published": "is published now",
    "rolled_back": "is published again, by a rollback",
    "refused": "was refused, and is not published",
    "waiting": "waits for approval in Airflow",
    "test": "is only named by a test of this receiver; nothing changed",
}


class Change(Model):
    """An answer that differs: to which customers, and the amounts; null where a run has no answer."""

    country: str
    kind: str
    customers: str
    old: Amount | None
    new: Amount | None

    @classmethod
    def of(cls, found: Compared) -> "Change":
        old, new = (each.amount if each else None for each in (found.old, found.new))
        customers = f"{found.customers} {found.unit}"
        return cls(country=found.country, kind=found.kind, customers=customers, old=old, new=new)

    @property
    def text(self) -> str:
        """Return `Peru, frequent_segment, 5-13 orders: 2640 → 4400`, say."""
        old, new = ("no answer" if each is None else f"{each.normalize():f}" for each in (self.old, self.new))
        return f"{self.country}, {self.kind}, {self.customers}: {old} → {new}"


class Data(Model):
    """What happened to a run, and what that changed."""

    run_id: str
    previous_run_id: str | None
    """The run that was published before, or still is."""
    actor: str | None
    """Who did it; null if the audits refused it."""
    reason: str | None
    source: str
    rows_in: int | None
    rows_kept: int | None
    data_to: datetime | None
    """The newest timestamp of the history, UTC."""
    definitions: list[str]
    """How rules and segments differ, in words."""
    compared: int
    differing: int
    """How many answers differ, of how many."""
    answers: list[Change] = Field(max_length=MAX_ANSWERS)
    """The first of those that differ."""
    url: str | None
    """The page that compares the two runs."""


class Notice(Model):
    """A notice in the form of Standard Webhooks. The header `webhook-id` has its id, the same in each attempt."""

    id: str = Field(exclude=True)
    type: Literal["run.published", "run.rolled_back", "run.refused", "run.waiting", "run.test"]
    timestamp: datetime
    """When it happened, UTC."""
    data: Data

    @classmethod
    def of(cls, due: Any, found: Changes, page_url: str) -> "Notice":
        """Return the notice of a row of `voucher.notice`. found: what its run changes against the previous one."""
        run, differing = found.planned, [each for each in found.answers if each.differs]
        data = Data(
            run_id=due.run_id,
            previous_run_id=due.previous_run_id,
            actor=due.actor,
            reason=due.reason,
            source=run.source,
            rows_in=run.rows_in,
            rows_kept=run.rows_kept,
            data_to=run.data_to,
            definitions=found.definitions,
            compared=found.compared,
            differing=found.differing,
            answers=[Change.of(each) for each in differing[:MAX_ANSWERS]],
            url=f"{page_url}/history/{due.run_id}" if page_url else None,
        )
        return cls.model_validate({"id": due.notice_id, "type": f"run.{due.event}", "timestamp": due.at, "data": data})

    def lines(self) -> Iterator[str]:
        """Yield the notice as lines of plain text, without the link; the first one is its title."""
        data = self.data
        yield f"Voucher Select: run {data.run_id} {EVENTS[self.type.removeprefix('run.')]}"
        by = f"By {data.actor}" if data.actor else "By the audits"
        yield f"{by}: {data.reason}" if data.reason else by
        if self.type == "run.test":
            return
        before = f"those of run {data.previous_run_id}" if data.previous_run_id else "nothing: it is the first run"
        yield f"{data.differing:,} of {data.compared:,} answers differ from {before}"
        yield from data.definitions
        yield from (change.text for change in data.answers[:MAX_LINES])
        if data.differing > MAX_LINES:
            yield f"and {data.differing - MAX_LINES:,} more"
