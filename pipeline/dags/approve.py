"""The task `approve`: a person decides in Airflow whether a run may replace the published one.

`publish` reads from `approved` what was decided, and hands it on as the only replacement that is allowed. So whatever
happens after the request was shown, nothing else is published by it.
"""

import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

from pipeline import PipelineError, run
from pipeline.dags.steps import attempt, forced
from pipeline.publish.approval import NOTHING, leave_refusal, leave_waiting
from pipeline.publish.changes.log import link
from pipeline.publish.changes.markdown import markdown
from pipeline.publish.changes.models import Changes
from pipeline.publish.database import Database
from pipeline.publish.publication import Approval
from pipeline.settings import Settings

log = logging.getLogger("pipeline")

TASK, SHOWN = "approve", "shown"  # the task, and its XCom that says what was shown


@dataclass(frozen=True)
class Decision:
    """What was approved, or `NOTHING`; by whom, and for which reason the run is published in spite of an audit."""

    approval: Approval
    actor: str | None = None
    force: str | None = None


def approved(context: Any) -> Decision:
    """Return what a person approved in this DAG run, as it was shown. A task marked as success approves nothing."""
    shown, answer = (context["ti"].xcom_pull(task_ids=TASK, key=key) for key in (SHOWN, "return_value"))
    if not shown or not answer or answer["chosen_options"] != [ApprovalOperator.APPROVE]:
        return Decision(NOTHING)
    return Decision(Approval(shown["run_id"], shown["previous"]), _name(answer), shown["force"])


class ApproveOperator(ApprovalOperator):
    """Ask for approval of the planned run, if it would replace the published one.

    A refusal skips `publish`; without an answer, the task fails after `response_timeout`, and is not tried again.
    """

    def execute(self, context: Any) -> None:
        """Show what publishing the run changes, and wait. Airflow calls `execute_complete` with the answer."""
        planned = context["ti"].xcom_pull(task_ids="plan")
        force = forced(planned)
        if context["params"]["plan_only"]:
            log.info("approve: plan only: there is nothing to approve")
            return
        if not force and (outcome := attempt(run.blocked, planned)):
            log.info("approve: there is nothing to approve: run %s %s", planned, outcome)
            return
        found = attempt(run.preview, planned)
        if found.is_published:
            log.info("approve: there is nothing to approve: run %s is published already", planned)
            return
        asked = Approval(planned, found.published.run_id if found.published else None)
        context["ti"].xcom_push(SHOWN, {**asdict(asked), "force": force})
        self._show(context, _subject(asked, force), _body(found))
        address = self.generate_link_to_ui_from_context(context=context).partition("?")[0]  # it works without map_index
        attempt(_announce, asked, address)
        raise TaskAwaitingInput(method_name="execute_complete", timeout=self.response_timeout)

    def _show(self, context: Any, subject: str, body: str) -> None:
        """Write the request. Raises AirflowFailException if Airflow shows the text of an earlier one instead.

        Airflow keeps the text of a task's first request when the task runs again. Its own `upsert_hitl_detail` does not
        return what is shown.
        """
        request = CreateHITLDetailPayload(
            ti_id=context["ti"].id,
            options=self.options,
            subject=subject,
            body=body,
            defaults=None,
            multiple=False,
            params={},
            assigned_users=[],
        )
        shown: Any = task_runner.SUPERVISOR_COMMS.send(request)
        if (shown.subject, shown.body) != (subject, body):
            raise AirflowFailException(
                f"Airflow still shows the request {shown.subject!r}, which is out of date. Trigger the DAG again"
            )

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Let `publish` run. If a person refused the run, skip it; if nobody answered, fail. Both leave a notice."""
        shown = context["ti"].xcom_pull(task_ids=TASK, key=SHOWN)
        asked = Approval(shown["run_id"], shown["previous"])
        if event.get("error_type") == "timeout":
            _tell_refusal(asked, "airflow", self._unanswered())
        elif event.get("chosen_options") == [self.REJECT]:
            _tell_refusal(asked, _name(event), "refused in Airflow")
        return super().execute_complete(context, event)

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """Raise AirflowFailException: another try would ask again."""
        raise AirflowFailException(
            f"{self._unanswered()}; the published answers stay as they are. Trigger the DAG to be asked again"
            if event["error_type"] == "timeout"
            else str(event["error"])
        )

    def _unanswered(self) -> str:
        hours = (self.response_timeout or timedelta()) / timedelta(hours=1)
        return f"nobody approved the run within {hours:g} h"


def _subject(asked: Approval, force: str | None) -> str:
    instead = f"instead of run {asked.previous}" if asked.previous else "as the first one"
    return f"Publish run {asked.run_id} {instead}" + (f", by force: {force}" if force else "")


def _body(found: Changes) -> str:
    address = link(found.planned.run_id, Settings.read().page_url)
    return markdown(found) + (f"\n[The comparison on the page]({address})" if address else "")


def _name(answer: Any) -> str:
    return str((answer["responded_by_user"] or {}).get("name") or "airflow")


def _announce(settings: Settings, asked: Approval, address: str) -> None:
    leave_waiting(Database(settings.database_url), asked, address)
    run.notify(settings)


def _tell_refusal(asked: Approval, actor: str, reason: str) -> None:
    """Leave a notice and send it. A fault of the database doesn't stop the refusal."""
    log.info("approve: run %s is not published: %s (%s)", asked.run_id, reason, actor)
    try:
        settings = Settings.read()
        leave_refusal(Database(settings.database_url), asked, actor, reason)
        run.notify(settings)
    except PipelineError as error:
        log.warning("approve: there is no notice of the refusal: %s", error)
