"""
### Voucher_Select: which voucher amount is used most for customers like this one?

Once a day, and when triggered:

1. **plan** finds the history (`VOUCHER_SOURCE`: S3, https or files), inspects its parts (ETag, size, SHA-256) and
   records a run. The same data with the same rules is the same run.
2. **load** types the columns, drops rows by the rules of `pipeline/rules.toml`, and writes the kept rows, the counts,
   the votes and the segments to Postgres under the run's own id, out of readers' sight. Parts that an earlier run
   loaded by the same rules are not read again. The task's log shows its progress and each rule's count.
3. **audit** checks the run, and compares it with the published one. If a check fails, the task fails; its log shows
   what is wrong, with examples, and what to do. The published answers stay as they were.
4. **publish** makes the run visible to `POST /voucher`, in one transaction.
5. **prune** drops the rows of old runs.

**Trigger it with parameters** to see what would change without publishing (`plan_only`), or to publish a run although
a check fails, for a recorded reason (`force`).

A run that was rolled back from (`python -m pipeline rollback`) is not published again by itself, and neither is an old
run whose task is cleared or retried after a newer run was published: its tasks succeed, and their logs say so. To
return to older answers, roll back. To change the rules, change `notebooks/02_cleaning_rules.ipynb`, which writes them.
Retries and repeated triggers are safe.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pendulum
from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pipeline import PipelineError, run
from pipeline.publish.changes.text import text
from pipeline.settings import Settings, retry_seconds, warn

log = logging.getLogger("pipeline")
R = TypeVar("R")


def attempt(step: Callable[..., R], *arguments: str | None) -> R:
    """Run a step. An error that isn't retryable fails the task at once."""
    try:
        return step(Settings.read(), *arguments)
    except PipelineError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from None


def forced(planned: str) -> str | None:
    """Return the reason to publish in spite of an audit, or None if a newer run was published since it was given."""
    reason = (get_current_context()["params"]["force"] or "").strip() or None
    return None if reason and attempt(run.is_superseded, planned) else reason


@dag(
    dag_id="Voucher_Select",
    schedule="@daily",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=retry_seconds())},
    params={
        "plan_only": Param(
            False,
            type="boolean",
            title="Plan only",
            description="Publish nothing; publish's log shows what would change.",
        ),
        "force": Param(
            None,
            type=["null", "string"],
            title="Force",
            description="The reason to publish although a check fails, or after a rollback. It goes on record.",
        ),
    },
    doc_md=__doc__,
    tags=["voucher"],
)
def voucher_select() -> None:
    @task
    def plan() -> str:
        warn()
        return str(attempt(run.plan))

    @task
    def load(planned: str) -> None:
        attempt(run.load, planned, forced(planned))

    @task
    def audit(planned: str) -> None:
        attempt(run.audit, planned, forced(planned))

    @task
    def publish(planned: str) -> None:
        context = get_current_context()
        if context["params"]["plan_only"]:
            for line in text(attempt(run.preview, planned)).splitlines():
                log.info(line)
            raise AirflowSkipException("plan only: nothing is published")
        attempt(run.publish, planned, context["dag_run"].triggering_user_name or "airflow", forced(planned))

    @task
    def prune() -> None:
        attempt(run.prune)

    planned = plan()
    load(planned) >> audit(planned) >> publish(planned) >> prune()  # type: ignore[arg-type]


dag_object = voucher_select()
