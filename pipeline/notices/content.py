"""What a notice says, as JSON after Standard Webhooks. docs/notices.md describes it; `text` has it for a chat."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from pipeline.publish.changes.log import link
from pipeline.publish.changes.models import Amount, Changes, Compared, Model

MAX_ANSWERS = 50  # in the JSON: Standard Webhooks advises against more than 20 kB


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


class Data(Model):
    """What happened to a run, and what it changed, or would have changed."""

    run_id: str
    previous_run_id: str | None
    """The run that was published before. If the run is refused or waits, the run that stays published."""
    action: Literal["publish", "force", "rollback"] | None
    """As in the log of publications; null if the run is refused or waits."""
    actor: str | None
    """The person who did it, or airflow; null for the audits."""
    reason: str | None
    """As in the log of publications; for a refusal, the audits that failed, or what happened in Airflow."""
    overridden_audits: list[str]
    """The audits that failed and were overridden by force; empty if none were."""
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
    approve_url: str | None
    """Where to approve or reject the run in Airflow; null unless it waits."""


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


class RunNotice(Notice):
    """A run was published, rolled back to or refused, or it waits for approval."""

    type: Literal["run.published", "run.rolled_back", "run.refused", "run.waiting"]
    data: Data

    @classmethod
    def of(cls, due: Any, found: Changes, page_url: str) -> "RunNotice":
        """Return the notice of a row of `outbox.DUE`. found: what its run changes against the previous one."""
        run, differing = found.planned, [each for each in found.answers if each.differs]
        waits = due.event == "waiting"  # its row has the address as reason
        data = Data(
            run_id=due.run_id,
            previous_run_id=due.previous_run_id,
            action=due.action,
            actor=due.actor,
            reason=None if waits else due.reason,
            overridden_audits=due.overridden_audits,
            source=run.source,
            rows_in=run.rows_in,
            rows_kept=run.rows_kept,
            data_to=run.data_to,
            definitions=found.definitions[:MAX_ANSWERS],
            compared=found.compared,
            differing=found.differing,
            answers=[Change.of(each) for each in differing[:MAX_ANSWERS]],
            url=link(due.run_id, page_url) or None,
            approve_url=due.reason if waits else None,
        )
        return cls.model_validate({"id": due.notice_id, "type": f"run.{due.event}", "timestamp": due.at, "data": data})


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


def schema() -> str:
    """Return the JSON schema of a notice for docs/notice.schema.json. It allows the new fields of later versions."""
    adapter: TypeAdapter[Any] = TypeAdapter(RunNotice | TestNotice)
    found = adapter.json_schema(mode="serialization")
    for model in found["$defs"].values():
        del model["additionalProperties"]
    return json.dumps(found, indent=2) + "\n"
