"""Find and list the runs and publications on record. Used by the command line."""

import re
from typing import Any

from pipeline.publish.database import Database, DatabaseError


def find_id(database: Database, text: str) -> str:
    """Return the id of the run that begins with these 6 or more digits; other text unchanged. Raises DatabaseError."""
    beginning = text.strip().lower()
    if re.fullmatch(r"[0-9a-f]{1,5}", beginning):
        raise DatabaseError(f"{beginning!r} is too short for a run's id; give its first 6 digits or more")
    if not re.fullmatch(r"[0-9a-f]{6,16}", beginning):
        return text
    with database.transaction() as cursor:
        cursor.execute("SELECT run_id FROM voucher.run WHERE starts_with(run_id, %s) ORDER BY run_id", (beginning,))
        found = [row.run_id for row in cursor.fetchall()]
    if len(found) > 1:
        raise DatabaseError(f"{len(found)} runs begin with {beginning!r}: {', '.join(found)}; name one of them")
    return found[0] if found else beginning


def latest(database: Database, limit: int, run_id: str | None = None) -> list[dict[str, Any]]:
    """Return the newest runs, or the one with this id.

    Their keys: run_id, current, status (loading, planned, rejected, published or withdrawn), started_at, finished_at
    (of the load), published_at (last), rows_in, rows_kept, data_to, source, sample (whether it is the built-in sample).
    Times are UTC.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT run_id, current_run.run_id IS NOT NULL AS current,
                CASE WHEN status = 'loading' AND finished_at IS NOT NULL THEN 'planned' ELSE status END AS status,
                started_at, finished_at,
                (SELECT max(at) FROM voucher.publication WHERE publication.run_id = run.run_id) AS published_at,
                rows_in, rows_kept, data_to, source,
                (SELECT coalesce(bool_and(synthetic), false) FROM voucher.run_part JOIN voucher.part USING (part_id)
                WHERE run_part.run_id = run.run_id) AS sample
            FROM voucher.run LEFT JOIN voucher.current_run USING (run_id)
            WHERE run_id = coalesce(%s, run_id) ORDER BY started_at DESC LIMIT %s""",
            (run_id, limit),
        )
        return [row._asdict() for row in cursor.fetchall()]


def latest_publications(database: Database, limit: int) -> list[dict[str, Any]]:
    """Return the newest publications: at (UTC), run_id, previous_run_id, action, actor, reason."""
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT at, run_id, previous_run_id, action, actor, reason FROM voucher.publication
            ORDER BY at DESC LIMIT %s""",
            (limit,),
        )
        return [row._asdict() for row in cursor.fetchall()]
