"""A person's decision on a run: that it is asked for, and that it was refused. Called by the DAG's task `approve`."""

from pipeline.publish.database import Database
from pipeline.publish.notice import leave_notice
from pipeline.publish.publication import Approval

NOTHING = Approval("", None)  # nobody approved anything: no run has this id


def leave_waiting(database: Database, asked: Approval, address: str) -> None:
    """Leave the notice that a run waits for approval at an address, unless there is one since it was planned last.

    A task that Airflow starts again therefore leaves no second one.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT notice_id FROM voucher.notice JOIN voucher.run USING (run_id)
            WHERE event = 'waiting' AND run_id = %s AND previous_run_id IS NOT DISTINCT FROM %s AND at >= planned_at""",
            (asked.run_id, asked.previous),
        )
        if not cursor.fetchone():
            leave_notice(cursor, "waiting", asked.run_id, asked.previous, actor="airflow", reason=address)


def leave_refusal(database: Database, asked: Approval, actor: str) -> None:
    """Leave the notice that a person refused the run. Its status stays, so it can be approved later."""
    with database.transaction() as cursor:
        leave_notice(cursor, "refused", asked.run_id, asked.previous, actor=actor, reason="refused in Airflow")
