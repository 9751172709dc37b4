"""Publish runs: `voucher.current_run` names the run that readers see, and `voucher.publication` records every change.

Called by `run.py` and the command line. The published run only moves forward, to a run whose source was listed later.
Force and rollback are the exceptions, each with a recorded reason.
"""

from dataclasses import dataclass
from typing import Any

from pipeline.publish.database import Database, DatabaseError
from pipeline.publish.notice import leave_notice


@dataclass(frozen=True)
class Approval:
    """A person agreed that this run replaces `previous`, the run that was published then; None if none was."""

    run_id: str
    previous: str | None


class Outdated(DatabaseError):
    """Another run was published or pruned since this one was audited."""

    retryable = True


class Superseded(DatabaseError):
    """The published run's source was listed later, or a person published it since this run was planned."""


class NotApproved(DatabaseError):
    """Nobody approved that this run replaces the published one."""


def current(database: Database) -> str | None:
    """Return the run_id of the published run."""
    with database.transaction() as cursor:
        return _current(cursor)


def publish(
    database: Database, run_id: str, actor: str, force: str | None = None, approval: Approval | None = None
) -> str | None:
    """Make this run the published one, in one transaction; return the run_id of the run published before.

    If it is published already, only `checked_at` and `decided_at` follow its last plan. `force` is the reason to
    publish a run that failed an audit, was rolled back or is superseded. `approval`: the only replacement that is
    allowed; None allows any. Raises DatabaseError if the run must not be published, Outdated if it must be audited
    again, Superseded if a newer one is published, NotApproved.
    """
    with database.transaction() as cursor:
        cursor.execute("LOCK TABLE voucher.current_run IN EXCLUSIVE MODE")
        previous = _current(cursor)
        if previous == run_id:
            cursor.execute(
                """UPDATE voucher.current_run SET checked_at = greatest(checked_at, planned_at),
                    decided_at = greatest(decided_at, planned_at) FROM voucher.run WHERE run.run_id = %s""",
                (run_id,),
            )
            return previous
        if approval and approval != Approval(run_id, previous):
            raise NotApproved(
                f"nobody approved that run {run_id} replaces {previous or 'nothing'}, which is published now; run again"
            )
        if not force and (newer := _newer(cursor, run_id)):
            raise Superseded(f"run {newer.run_id} was published after run {run_id} was planned; run again")
        cursor.execute(
            """SELECT status, audited, passed, outdated,
                finished_at IS NULL OR EXISTS (SELECT FROM voucher.unloaded_part
                    WHERE unloaded_part.run_id = run.run_id) AS unloaded
            FROM voucher.run, LATERAL (
                SELECT count(*) > 0 AS audited, bool_and(passed OR severity = 'warn') AS passed,
                    bool_or(compared_with IS DISTINCT FROM %s) AS outdated
                FROM voucher.audit_outcome WHERE audit_outcome.run_id = run.run_id) AS audits
            WHERE run_id = %s""",
            (previous, run_id),
        )
        run = cursor.fetchone()
        allowed = run and run.audited and (force or (run.passed and run.status not in {"rejected", "withdrawn"}))
        if not allowed:
            raise DatabaseError(f"run {run_id} has not passed its audits; `python -m pipeline run` creates it again")
        if run.unloaded or run.outdated:
            raise Outdated(f"another run replaced run {run_id} after it was audited; run again")
        _set_status(cursor, run_id, "published")
        reason = force or ("approved in Airflow" if approval else None)
        at = _record(cursor, run_id, previous, actor=actor, action="force" if force else "publish", reason=reason)
        leave_notice(cursor, "published", run_id, previous, actor=actor, reason=reason)
        cursor.execute(
            """INSERT INTO voucher.current_run (run_id, published_at, checked_at, decided_at)
            SELECT run_id, %(at)s, planned_at, CASE WHEN %(force)s THEN %(at)s ELSE planned_at END
            FROM voucher.run WHERE run_id = %(run_id)s
            ON CONFLICT (one_row) DO UPDATE SET (run_id, published_at, checked_at, decided_at) =
                (EXCLUDED.run_id, EXCLUDED.published_at, EXCLUDED.checked_at, EXCLUDED.decided_at)""",
            {"run_id": run_id, "at": at, "force": bool(force)},
        )
        return previous


def roll_back(database: Database, run_id: str, actor: str, reason: str) -> str:
    """Publish a run again that was published before; return the run_id that it replaces, which becomes `withdrawn`.

    Going to a run that was first published later goes forward again: the run that it replaces stays `published`.
    `checked_at` stays, because the source was not listed. Raises DatabaseError if that run can't be published.
    """
    with database.transaction() as cursor:
        cursor.execute("LOCK TABLE voucher.current_run IN EXCLUSIVE MODE")
        left = _current(cursor)
        cursor.execute(
            """SELECT status, seen, seen > left_seen AS forward FROM voucher.run, LATERAL (
                SELECT min(at) FILTER (WHERE publication.run_id = run.run_id) AS seen,
                    min(at) FILTER (WHERE publication.run_id = %s) AS left_seen
                FROM voucher.publication) AS first
            WHERE run_id = %s""",
            (left, run_id),
        )
        run = cursor.fetchone()
        if run is None:
            raise DatabaseError(f"there is no run {run_id!r}; `python -m pipeline runs` lists them")
        if left == run_id:
            raise DatabaseError(f"run {run_id} is already published; `python -m pipeline runs` lists the others")
        if left is None or not run.seen:
            raise DatabaseError(
                f"run {run_id} ({run.status}) was never published, so it can't be rolled back to; "
                "`python -m pipeline runs` lists those that were"
            )
        if not run.forward:
            _set_status(cursor, left, "withdrawn")
        _set_status(cursor, run_id, "published")
        at = _record(cursor, run_id, left, actor=actor, action="rollback", reason=reason)
        leave_notice(cursor, "rolled_back", run_id, left, actor=actor, reason=reason)
        cursor.execute(
            "UPDATE voucher.current_run SET run_id = %s, published_at = %s, decided_at = %s", (run_id, at, at)
        )
        return left


def withdrawal(database: Database, run_id: str) -> Any:
    """Return when a run was rolled back from (`at`, UTC), by which `actor` and for which `reason`; None if never."""
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT at, actor, reason FROM voucher.publication JOIN voucher.run ON previous_run_id = run.run_id
            WHERE run.run_id = %s AND action = 'rollback' AND status = 'withdrawn' ORDER BY at DESC LIMIT 1""",
            (run_id,),
        )
        return cursor.fetchone()


def superseding(database: Database, run_id: str) -> Any:
    """Return run_id, decided_at (UTC) and actor of the published run if it is newer than this run's last plan, else
    None.
    """
    with database.transaction() as cursor:
        return _newer(cursor, run_id)


def reject(database: Database, run_id: str, reason: str, *, announce: bool = True) -> None:
    """Mark a run that failed its audits, and drop its rows if it was never published. Its counts and audits stay.

    reason: which audits failed, in one line without rows of the history. announce: whether it leaves a notice.
    """
    with database.transaction() as cursor:
        if announce:
            leave_notice(cursor, "refused", run_id, _current(cursor), actor=None, reason=reason)
        cursor.execute(
            """UPDATE voucher.run SET status = 'rejected' WHERE run_id = %s AND status = 'loading'
            RETURNING voucher.drop_partition(run_id)""",
            (run_id,),
        )


def _current(cursor: Any) -> str | None:
    cursor.execute("SELECT run_id FROM voucher.current_run")
    row = cursor.fetchone()
    return row.run_id if row else None


def _newer(cursor: Any, run_id: str) -> Any:
    cursor.execute(
        """SELECT current_run.run_id, decided_at,
            (SELECT actor FROM voucher.publication WHERE at = published_at AND run_id = current_run.run_id) AS actor
        FROM voucher.current_run, voucher.run
        WHERE run.run_id = %s AND current_run.run_id <> run.run_id AND planned_at < decided_at""",
        (run_id,),
    )
    return cursor.fetchone()


def _set_status(cursor: Any, run_id: str, status: str) -> None:
    cursor.execute("UPDATE voucher.run SET status = %s WHERE run_id = %s", (status, run_id))


def _record(cursor: Any, run_id: str, previous: str | None, *, actor: str, action: str, reason: str | None) -> Any:
    """Record the publication, and return its time: the transaction may have begun earlier and waited for another."""
    cursor.execute(
        """INSERT INTO voucher.publication (run_id, previous_run_id, actor, action, reason)
        VALUES (%s, %s, %s, %s, %s) RETURNING at""",
        (run_id, previous, actor, action, reason),
    )
    return cursor.fetchone().at
