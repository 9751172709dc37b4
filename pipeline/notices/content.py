"""What a notice says: its JSON after Standard Webhooks, and its text for a chat. docs/notices.md describes both."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from pipeline.publish.changes.models import Amount, Changes, Compared, Model

MAX_ANSWERS = 50  # in the JSON: Standard Webhooks advises against more than 20 kB
MAX_LINES = 10  # of answers, and of definitions, in a text
MAX_LINE = 300  # characters of a line in a text
TITLES = {
    "run.published": "run {} is published",
    "run.rolled_back": "run {} is published again by a rollback",
    "run.refused": "run {} was refused and is not published",
    "run.waiting": "run {} waits for approval in Airflow",
}


class Change(Model):
    """An answer that differs: the customers who get it, and the amounts; null where a run has no answer."""

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
        """Return country, kind and customers, and the amounts old → new."""
        old, new = ("no answer" if each is None else f"{each.normalize():f}" for each in (self.old, self.new))
        return f"{self.country}, {self.kind}, {self.customers}: {old} → {new}"


class Data(Model):
    """What happened to a run, and what it changed, or would have changed."""

    run_id: str
    previous_run_id: str | None
    """The run that was published before. If the run is refused or waits, the run that stays published."""
    actor: str | None
    """The person who did it, or airflow; null for the audits."""
    reason: str | None
    """Of a rollback or of `--force`; for a refusal, the audits that failed, or that a person refused it; if the run
    waits, where to approve it."""
    source: str
    """Without secrets."""
    rows_in: int | None
    rows_kept: int | None
    data_to: datetime | None
    """The newest timestamp of the history, UTC."""
    definitions: list[str] = Field(max_length=MAX_ANSWERS)
    """How rules and segments differ, in words: the first 50."""
    compared: int
    """Number of answers in either run."""
    differing: int
    """How many of them differ."""
    answers: list[Change] = Field(max_length=MAX_ANSWERS)
    """The first 50 of those that differ."""
    url: str | None
    """The page that compares the two runs; null without VOUCHER_PAGE_URL."""


class TestData(Model):
    """Who sent the test."""

    __test__ = False  # for pytest

    actor: str
    url: str | None
    """The page; null without VOUCHER_PAGE_URL."""


class Notice(Model):
    """A notice in the form of Standard Webhooks. The header `webhook-id` has its id, the same in each attempt."""

    id: str = Field(exclude=True)
    timestamp: datetime
    """When it happened, UTC."""
    data: Any

    def lines(self) -> Iterator[str]:
        """Yield the notice as lines of plain text, without the link. The first one is its title."""
        for line in self._lines():
            clean = " ".join("".join(char if char.isprintable() else " " for char in line).split())
            yield clean if len(clean) <= MAX_LINE else f"{clean[:MAX_LINE]}…"

    def _lines(self) -> Iterator[str]:
        raise NotImplementedError


class RunNotice(Notice):
    """A run was published, rolled back to or refused, or it waits for approval."""

    type: Literal["run.published", "run.rolled_back", "run.refused", "run.waiting"]
    data: Data

    @classmethod
    def of(cls, due: Any, found: Changes, page_url: str) -> "RunNotice":
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
            definitions=found.definitions[:MAX_ANSWERS],
            compared=found.compared,
            differing=found.differing,
            answers=[Change.of(each) for each in differing[:MAX_ANSWERS]],
            url=f"{page_url}/history/{due.run_id}" if page_url else None,
        )
        return cls.model_validate({"id": due.notice_id, "type": f"run.{due.event}", "timestamp": due.at, "data": data})

    def _lines(self) -> Iterator[str]:
        data = self.data
        yield f"Voucher Select: {TITLES[self.type].format(data.run_id)}"
        if who := self._who():
            yield f"{who}: {data.reason}" if data.reason else who
        if data.rows_in is not None and data.rows_kept is not None:
            newest = f"; the newest is of {data.data_to:%Y-%m-%d}" if data.data_to else ""
            yield f"{data.rows_kept:,} of {data.rows_in:,} rows are kept{newest}"
        yield self._summary()
        yield from _first(data.definitions, len(data.definitions), "changes of rules and segments")
        yield from _first([change.text for change in data.answers], data.differing, "answers")

    def _who(self) -> str:
        if self.type == "run.waiting":
            return "Approve or reject it" if self.data.reason else ""
        if self.type == "run.refused" and not self.data.actor:
            return "Failed audits"
        if self.type == "run.published" and self.data.reason:
            return f"Forced by {self.data.actor}"
        return f"By {self.data.actor}"

    def _summary(self) -> str:
        data, happened = self.data, self.type in {"run.published", "run.rolled_back"}
        if not data.previous_run_id:
            return f"{data.compared:,} answers; no run {'was published before' if happened else 'is published'}"
        differ = f"{data.differing:,} of {data.compared:,} answers {'' if happened else 'would '}differ"
        stays = "" if happened else ", which stays published"
        return f"{differ} from those of run {data.previous_run_id}{stays}"


class TestNotice(Notice):
    """A person tries the receiver. Nothing happened to any run."""

    __test__ = False  # for pytest

    type: Literal["run.test"]
    data: TestData

    @classmethod
    def by(cls, actor: str, page_url: str) -> "TestNotice":
        """Return a new one."""
        data = {"actor": actor, "url": page_url or None}
        named = {"id": f"msg_{uuid.uuid4().hex}", "type": "run.test"}
        return cls.model_validate({**named, "timestamp": datetime.now(UTC), "data": data})

    def _lines(self) -> Iterator[str]:
        yield "Voucher Select: a test of this receiver"
        yield f"By {self.data.actor}. Nothing was published or changed."


def schema() -> str:
    """Return the JSON schema of a notice, as docs/notice.schema.json holds it."""
    adapter: TypeAdapter[Any] = TypeAdapter(RunNotice | TestNotice)
    return json.dumps(adapter.json_schema(mode="serialization"), indent=2) + "\n"


def _first(lines: list[str], number: int, what: str) -> Iterator[str]:
    yield from lines[:MAX_LINES]
    if number > MAX_LINES:
        yield f"and {number - MAX_LINES:,} more {what}"
