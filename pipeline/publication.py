"""Which run readers see: `voucher.current_run` moves in one transaction. Called by `run.py` and `audit.py`."""

from pipeline.database import Database, DatabaseError

ABANDONED = "1 day"  # a run that began this long ago and was never published counts as given up


def publish(database: Database, run_id: str, actor: str, reason: str | None = None) -> str | None:
    """Let readers see this run, at once and as a whole; the run_id that they saw before.

    When they see it already, only `checked_at` is set. Raises DatabaseError when it has not passed its audits.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT FROM voucher.run WHERE run_id = %s AND status <> 'rejected'
            AND EXISTS (SELECT FROM voucher.audit_outcome WHERE audit_outcome.run_id = run.run_id)""",
            (run_id,),
        )
        if not cursor.rowcount:
            raise DatabaseError(f"run {run_id} has not passed its audits; `python -m pipeline run` makes it anew")
        cursor.execute("LOCK TABLE voucher.current_run IN EXCLUSIVE MODE")
        cursor.execute("SELECT run_id FROM voucher.current_run")
        row = cursor.fetchone()
        previous = row.run_id if row else None
        cursor.execute(
            """INSERT INTO voucher.current_run (run_id, published_at, checked_at) VALUES (%(run_id)s, now(), now())
            ON CONFLICT (one_row) DO UPDATE SET run_id = EXCLUDED.run_id, checked_at = EXCLUDED.checked_at,
                published_at = CASE WHEN current_run.run_id = EXCLUDED.run_id
                    THEN current_run.published_at ELSE EXCLUDED.published_at END""",
            {"run_id": run_id},
        )
        if previous != run_id:
            cursor.execute("UPDATE voucher.run SET status = 'published' WHERE run_id = %s", (run_id,))
            cursor.execute(
                "INSERT INTO voucher.publication (run_id, previous_run_id, actor, reason) VALUES (%s, %s, %s, %s)",
                (run_id, previous, actor, reason),
            )
        return previous


def reject(database: Database, run_id: str) -> None:
    """Mark a run that failed its audits, and drop its rows; a published run stays. Counts and audits are kept."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE voucher.run SET status = 'rejected' WHERE run_id = %s AND status = 'loading' RETURNING run_id",
            (run_id,),
        )
        if cursor.fetchone():
            cursor.execute("SELECT voucher.drop_partition(%s)", (run_id,))


def prune(database: Database, keep: int) -> list[str]:
    """Drop the rows that neither the last `keep` published runs nor a run under way need; the runs that loaded them."""
    with database.transaction() as cursor:
        cursor.execute(
            """WITH kept AS (
                (SELECT run_id FROM voucher.publication GROUP BY run_id ORDER BY max(at) DESC LIMIT %s)
                UNION SELECT run_id FROM voucher.current_run
                UNION SELECT run_id FROM voucher.run
                    WHERE status = 'loading' AND started_at > now() - CAST(%s AS interval)
            ), partition AS (
                SELECT replace(relname, 'assignment_', '') AS run_id
                FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = 'voucher.assignment'::regclass
            )
            SELECT run_id, voucher.drop_partition(run_id) FROM partition
            WHERE run_id NOT IN (SELECT loaded_by FROM voucher.run_part JOIN kept USING (run_id))""",
            (keep, ABANDONED),
        )
        return [row.run_id for row in cursor.fetchall()]
