"""The response models of `/runs`: a run with its counts, files, audits and publications. Used by `runs`."""

from datetime import UTC, date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.reports import responses


class Run(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    run_id: str
    current: bool = Field(description="Whether this is the published run.")
    status: Literal["loading", "planned", "rejected", "published", "withdrawn"] = Field(
        description="`loading` until its results are written; then `planned`, until it is `published` or `rejected` by "
        "its audits; `withdrawn` by a rollback."
    )
    source: str
    sample: bool = Field(description="Whether the source is the built-in synthetic sample, which is invented data.")
    today: date | None = Field(description="The day that recency counts to, if TODAY pinned it.")
    rows_in: int | None = Field(description="Rows of the source; null while they are being read.")
    rows_kept: int | None
    data_from: datetime | None
    data_to: datetime | None = Field(description="The last timestamp of the kept rows.")
    started_at: datetime
    finished_at: datetime | None = Field(description="When the run was loaded completely.")
    published_at: datetime | None = Field(description="When the run was last published.")


class Runs(BaseModel):
    runs: list[Run]
    next: str | None = Field(description="The path of the next page, with older runs; null if there are none.")


class Part(BaseModel):
    """A file of the source."""

    model_config = ConfigDict(from_attributes=True)

    uri: str
    etag: str
    size: int = Field(description="In bytes.")
    sha256: str


class Audit(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    audit: str
    severity: Literal["fail", "warn"] = Field(description="`fail`: if the audit fails, the run is not published.")
    passed: bool
    expected: str
    seen: str
    compared_with: str | None = Field(description="The run that was published at the time.")


class Publication(BaseModel):
    """A change of the published run, to this run or from it."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    action: Literal["publish", "force", "rollback"]
    forward: bool = Field(description="Whether a rollback went forward again, to a run first published later.")
    actor: str
    reason: str | None
    run_id: str
    previous_run_id: str | None


class RunDetail(Run):
    rules_hash: str
    segments_hash: str
    parts: list[Part]
    audits: list[Audit]
    publications: list[Publication] = Field(description="Newest first.")


RUN = RunDetail(
    run_id=responses.RUN_ID,
    current=True,
    status="published",
    source="s3://bucket/history.parquet",
    sample=False,
    today=None,
    rows_in=1000,
    rows_kept=900,
    data_from=datetime(2018, 1, 1, tzinfo=UTC),
    data_to=datetime(2018, 7, 14, 21, tzinfo=UTC),
    started_at=datetime(2026, 3, 1, 4, 29, tzinfo=UTC),
    finished_at=datetime(2026, 3, 1, 4, 29, 58, tzinfo=UTC),
    published_at=datetime(2026, 3, 1, 4, 30, tzinfo=UTC),
    rules_hash="6b86b273ff34fce1",
    segments_hash="d4735e3a265e16ee",
    parts=[Part(uri="s3://bucket/history.parquet", etag='"9b2cf535f27731c9"', size=48213, sha256="4e07408562bedb8b")],
    audits=[
        Audit(
            audit="rows_kept",
            severity="fail",
            passed=True,
            expected="at least one row is kept",
            seen="900 rows",
            compared_with=None,
        )
    ],
    publications=[
        Publication(
            at=datetime(2026, 3, 1, 4, 30, tzinfo=UTC),
            action="publish",
            forward=False,
            actor="airflow",
            reason=None,
            run_id=responses.RUN_ID,
            previous_run_id=None,
        )
    ],
)
RUNS = Runs(runs=[Run.model_validate(RUN)], next=f"/runs?limit=1&before={responses.RUN_ID}")
