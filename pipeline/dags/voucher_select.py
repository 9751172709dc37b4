"""
### Voucher_Select: which voucher amount is used most for customers like this one?

Once a day, and when triggered:

1. **plan**: finds the history (`VOUCHER_SOURCE`: S3, https or files), reads the identity of its parts (ETag, size,
   sha256) and puts a run on record. The same data with the same rules is the same run.
2. **load**: types the columns, drops what the rules of `pipeline/rules.toml` name, writes the kept rows, the counts,
   the votes and the segments to Postgres, under the run's own id, where no reader looks. A part that an earlier run
   loaded by the same rules is not read again. Its log shows how far it is, and each rule's count.
3. **audit**: checks the run, and compares it with the published one. When a check fails, this task is red, its log
   shows what was wrong, with examples, and what to do; the answers stay as they were.
4. **publish**: lets `POST /voucher` see the run, in one transaction.
5. **prune**: drops the rows of runs that nobody needs any more.

**Trigger it with parameters** to see what would change without publishing (`plan_only`), or to publish a run although
a check fails, for a reason that goes on record (`force`).

A run that was rolled back from (`python -m pipeline rollback`) is not published again by itself: the tasks are green
and say so. So is a task of an old run that is cleared or retried late: once a newer run is published, it does nothing
and says so. To return to older answers, roll back. The rules are written by `notebooks/02_cleaning_rules.ipynb`: change
them there. Retries and triggers are harmless: nothing is doubled.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pipeline import PipelineError, run
from pipeline.settings import Settings, retry_seconds, warn

log = logging.getLogger("pipeline")


def attempt(step: Callable[..., Any], *arguments: str | None) -> Any:
    """Run a step; what trying again can't cure fails the task at once."""
    try:
        return step(Settings.read(), *arguments)
    except PipelineError as error:
        if error.passing:
            raise
        raise AirflowFailException(str(error)) from None


def forced(planned: str) -> str | None:
    """The reason given to publish all the same. It was given for what was there then: a task that is cleared once a
    newer run is published has none.
    """
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
            for line in attempt(run.preview, planned).splitlines():
                log.info(line)
            raise AirflowSkipException("plan only: nothing is published")
        attempt(run.publish, planned, context["dag_run"].triggering_user_name or "airflow", forced(planned))

    @task
    def prune() -> None:
        attempt(run.prune)

    planned = plan()
    load(planned) >> audit(planned) >> publish(planned) >> prune()  # type: ignore[arg-type]


dag_object = voucher_select()
