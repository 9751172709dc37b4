"""Delete cleaned rows that no kept run needs. Called by `run.py`."""

from pipeline.publish.database import Database


def prune(database: Database, keep: int) -> list[str]:
    """Drop rows that neither the published run nor the `keep` runs published last need; return the runs that loaded
    them.

    The rows of an unfinished run go too if another run overtakes it, which loads them again.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """WITH kept AS (
                (SELECT run_id FROM voucher.publication GROUP BY run_id ORDER BY max(at) DESC LIMIT %s)
                UNION SELECT run_id FROM voucher.current_run
            ), loader AS (
                SELECT replace(relname, 'assignment_', '') AS run_id
                FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = 'voucher.assignment'::regclass
                UNION SELECT loaded_by FROM voucher.loaded_part
            )
            SELECT run_id, voucher.drop_partition(run_id) FROM loader
            WHERE run_id NOT IN (SELECT loaded_by FROM voucher.run_part JOIN kept USING (run_id))""",
            (keep,),
        )
        return [row.run_id for row in cursor.fetchall()]
