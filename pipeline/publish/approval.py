"""A person's decision on a run: that it is asked for, and that it was refused or is too late. Called by the DAG's task
`approve`.
"""

from pipeline.publish.database import Database
from pipeline.publish.notice import Event, leave_notice
from pipeline.publish.publication import Approval

NOTHING = Approval("", None)  # nobody approved anything: no run has this id


def leave_waiting(database: Database, asked: Approval, address: str) -> None:
    """Leave the notice that a run waits for approval at an address."""
    _leave_once(database, "waiting", asked, actor="airflow", reason=address)


def leave_refusal(database: Database, asked: Approval, actor: str, reason: str) -> None:
    """Leave the notice that nobody approved the run, or that a person refused it. It can be approved later."""
    _leave_once(database, "refused", asked, actor=actor, reason=reason)


def _leave_once(database: Database, event: Event, asked: Approval, *, actor: str, reason: str) -> None:
    """Leave a notice, unless there is the same one since the run was planned last.

    A task that Airflow starts again, or that a person clears, therefore leaves no second one.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT notice_id FROM voucher.notice JOIN voucher.run USING (run_id)
            WHERE event = %s AND run_id = %s AND previous_run_id IS NOT DISTINCT FROM %s
                AND (actor, reason) = (%s, %s) AND at >= planned_at""",
            (event, asked.run_id, asked.previous, actor, reason),
        )
        if not cursor.fetchone():
            leave_notice(cursor, event, asked.run_id, asked.previous, actor=actor, reason=reason)
