"""What `runs`, `run` and `rollback` write with `--json`. Times are UTC."""

from datetime import datetime
from typing import Literal

from pipeline.publish.changes.models import Model
from pipeline.publish.news import News

RunStatus = Literal["loading", "planned", "rejected", "published", "withdrawn"]


class ListedRun(Model):
    """A run of `runs`. published_at: the last time; sample: whether its history is the built-in sample."""

    run_id: str
    current: bool
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    published_at: datetime | None
    rows_in: int | None
    rows_kept: int | None
    data_to: datetime | None
    source: str
    sample: bool


class Publication(Model):
    """A change of the published run."""

    at: datetime
    run_id: str
    previous_run_id: str | None
    action: Literal["publish", "force", "rollback"]
    actor: str
    reason: str | None


class Runs(Model):
    """What `runs` writes: both lists are the newest first."""

    runs: list[ListedRun]
    publications: list[Publication]


class RunResult(Model):
    """What `run` writes. published: null if this command published nothing."""

    run_id: str
    status: RunStatus
    current: bool
    published: News | None


class Rollback(Model):
    """What `rollback` writes: the run that is published again, and the one that it replaced."""

    run_id: str
    previous_run_id: str
