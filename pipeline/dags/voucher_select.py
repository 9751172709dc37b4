"""
### Voucher_Select: which voucher amount is used most for customers like this one?

Once a day, after each event of the asset `voucher_history`, and when triggered:

1. **plan** finds the history (`VOUCHER_SOURCE`: S3, https or files), inspects its parts (ETag, size, SHA-256) and
   records a run. The same data with the same rules is the same run.
2. **load** types the columns, drops rows by the rules of `pipeline/rules.toml`, and writes the kept rows, the counts,
   the votes and the segments to Postgres under the run's own id, out of readers' sight. Parts that an earlier run
   loaded by the same rules are not read again. The task's log shows its progress and each rule's count.
3. **audit** checks the run, and compares it with the published one. If a check fails, the task fails; its log shows
   what is wrong, with examples, and what to do. The published answers stay as they were.
4. **approve** is there if `VOUCHER_APPROVAL=1`. It shows what would change and waits until a person approves or rejects
   it (*Required Actions*). Only what was shown is published.
5. **publish** makes the run visible to `POST /voucher`, in one transaction, and adds an event to the asset
   `voucher_answers`, which other DAGs can be scheduled by.
6. **prune** drops the rows of old runs.

**Trigger it with parameters** to see what would change without publishing (`plan_only`), or to publish a run although
a check fails, for a recorded reason (`force`).

A run that was rolled back from (`python -m pipeline rollback`) is not published again by itself, and neither is an old
run whose task is cleared or retried after a newer run was published: its tasks succeed, and their logs say so. To
return to older answers, roll back. To change the rules, change `notebooks/02_cleaning_rules.ipynb`, which writes them.
Retries and repeated triggers are safe.
"""

import logging
from datetime import timedelta

import pendulum
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from pipeline import run
from pipeline.dags.approve import TASK, ApproveOperator, approved
from pipeline.dags.events import ANSWERS, HISTORY, PUBLICATIONS, announce
from pipeline.dags.steps import attempt, forced, still_forced
from pipeline.publish.changes.log import log_plan
from pipeline.settings import Settings, approval_hours, retry_seconds, warn

log = logging.getLogger("pipeline")

APPROVAL_HOURS = approval_hours()  # None: no approval is needed


@dag(
    dag_id="Voucher_Select",
    description="Finds out which voucher amount is used most, and publishes it for the API",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("@daily", timezone="UTC"), assets=HISTORY),
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "voucher-select",
        "retries": 2,
        "retry_delay": timedelta(seconds=retry_seconds()),
    },
    params={
        "plan_only": Param(
            False,
            type=["null", "boolean"],  # without null, the form marks it as required
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
    @task(inlets=[HISTORY])
    def plan() -> str:
        warn()
        return str(attempt(run.plan))

    @task
    def load(planned: str) -> None:
        attempt(run.load, planned, forced(planned))

    @task
    def audit(planned: str) -> None:
        planned_only = get_current_context()["params"]["plan_only"]
        attempt(run.audit, planned, forced(planned), announce=not planned_only)

    @task(inlets=[ANSWERS], outlets=[PUBLICATIONS])
    def publish(planned: str) -> None:
        context = get_current_context()
        if context["params"]["plan_only"]:
            log_plan(attempt(run.preview, planned), Settings.read().page_url)
            raise AirflowSkipException("plan only: nothing is published")
        run_id, actor, allowed = planned, context["dag_run"].triggering_user_name or "airflow", None
        if APPROVAL_HOURS:
            decision = approved(context)
            allowed, actor = decision.approval, decision.actor or actor
            run_id = allowed.run_id or planned
            force = still_forced(run_id, decision.force)
        else:
            force = forced(planned)
        attempt(run.publish, run_id, actor, force, allowed)
        announce(context, run_id)

    @task
    def prune() -> None:
        attempt(run.prune)

    planned = plan()
    audited = load(planned) >> audit(planned)  # type: ignore[arg-type]
    if APPROVAL_HOURS:
        wait = timedelta(hours=APPROVAL_HOURS)
        audited = audited >> ApproveOperator(task_id=TASK, subject="Publish the run", response_timeout=wait)
    audited >> publish(planned) >> prune()  # type: ignore[arg-type]


dag_object = voucher_select()
