"""The comparison of a run with the published one, as data. docs/plan.schema.json describes its JSON."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema


def _number(amount: Decimal) -> int | float:
    """Return a whole amount as an integer, as the API does: 4400, not 4400.0."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


Amount = Annotated[Decimal, PlainSerializer(_number, when_used="json"), WithJsonSchema({"type": "number"})]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Run(Model):
    """What a run read and kept. Times are UTC; counts are null until the run is loaded."""

    run_id: str
    source: str
    """Without secrets."""
    rows_in: int | None
    rows_kept: int | None
    data_from: datetime | None
    data_to: datetime | None
    countries: list[str]
    answers: int
    chosen_by_effect: int
    """How many answers were chosen by their effect."""
    lottery: str | None
    """The shares of customers by who chooses their amount, if there is a lottery."""


class FailedAudit(Model):
    """An audit of the planned run that failed, which keeps it from being published, or that warns."""

    audit: str
    severity: Literal["fail", "warn"]
    expected: str
    seen: str


class RuleCounts(Model):
    """How many rows a rule matched and dropped; null where a run doesn't have the rule."""

    rule: str
    old_matched: int | None
    new_matched: int | None
    old_dropped: int | None
    new_dropped: int | None


class Answer(Model):
    """The amount of a segment, and the votes for it."""

    segment: str
    """The label."""
    amount: Amount
    uses: int
    """Votes for the amount, of `rows` votes in the segment."""
    rows: int
    share_low: float | None
    """95 % interval by send of uses / rows; null with too few sends."""
    share_high: float | None
    sends: int | None
    clear: bool | None
    """Whether the lead over the runner-up is more than chance."""
    basis: str


class Compared(Model):
    """The answer to the customers of a country whose measure is from `lower` to `upper`, both inclusive, in both runs.

    These are the longest intervals that are within one segment of each run, so a moved bound shows who gets another
    amount.
    """

    country: str
    kind: str
    unit: str
    customers: str
    """The label of the segment, or the bounds if it is a part of one."""
    lower: int
    upper: int | None
    moved: bool
    """Whether the bounds of its segment differ, or only one run has it."""
    differs: bool
    old: Answer | None
    new: Answer | None


class Policy(Model):
    """What choosing amounts by a policy is worth in the planned run, or why it isn't told."""

    country: str
    kind: str
    policy: str
    known: int
    value: float | None
    value_low: float | None
    value_high: float | None
    cost: float | None
    refused: str | None


class Changes(Model):
    """What publishing a planned run would change."""

    planned: Run
    published: Run | None
    """The run that is published now; null if there is none."""
    blocked: str | None
    """Why the planned run would not be published, whatever its audits say."""
    definitions: list[str]
    """How the rules and segments differ, in words."""
    audits: list[FailedAudit]
    rules: list[RuleCounts]
    compared: int
    """Number of answers in either run, counted by the intervals of `answers`."""
    differing: int
    answers: list[Compared]
    """Those that differ, and those whose segment has other bounds."""
    policies: list[Policy]

    @property
    def is_published(self) -> bool:
        """Whether the planned run is the published one, so that nothing would change."""
        return self.published is not None and self.published.run_id == self.planned.run_id

    @property
    def summary(self) -> str:
        """Return one line: how many answers differ, of how many."""
        return f"{self.differing:,} of {self.compared:,} answers {'differ' if self.published else 'are new'}"


def schema() -> str:
    """Return the JSON schema of `Changes`, as docs/plan.schema.json holds it."""
    return json.dumps(Changes.model_json_schema(mode="serialization"), indent=2) + "\n"
