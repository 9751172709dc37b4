"""The record of runs: their parts, rules and status. Called by `run.py`, `load` and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from psycopg2.extras import Json, execute_values

from pipeline.publish.database import Database, DatabaseError
from pipeline.rules.kinds import Kind
from pipeline.rules.rulebook import Rule
from pipeline.source.parts import Part

PAGE = 1000  # rows of a statement


@dataclass(frozen=True)
class Run:
    """What identifies a run. Its run_id is made from its parts, rules, segments and `today`, not from `source`."""

    run_id: str
    source: str
    rules_hash: str
    segments_hash: str
    today: date | None


def known_parts(database: Database, parts: Sequence[Part]) -> list[Part]:
    """Return those of the parts whose uri, ETag and size are recorded, with what was found when they were read."""
    with database.transaction() as cursor:
        found = execute_values(
            cursor,
            """SELECT uri, etag, size, sha256, synthetic, rows FROM voucher.part
            JOIN (VALUES %s) AS listed (uri, etag, size) USING (uri, etag, size) WHERE rows IS NOT NULL""",
            [(part.uri, part.etag, part.size) for part in parts],
            page_size=PAGE,
            fetch=True,
        )
    return [Part(*row) for row in found]


def database_time(database: Database) -> datetime:
    """Return the time of the database's clock (UTC), which all runs share."""
    with database.transaction() as cursor:
        cursor.execute("SELECT clock_timestamp() AS now")
        return cast(datetime, cursor.fetchone().now)


def plan(
    database: Database,
    run: Run,
    parts: Sequence[Part],
    rules: Sequence[Rule],
    kinds: Sequence[Kind],
    *,
    looked_at: datetime,
) -> str:
    """Record the run, or restart a rejected one, and return its status: loading, published or withdrawn.

    looked_at: when the source was listed, by the database's clock.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """INSERT INTO voucher.run
                (run_id, source, rules_hash, segments_hash, today, planned_at, started_at, status)
            VALUES (%s, %s, %s, %s, %s, %s, now(), 'loading')
            ON CONFLICT (run_id) DO UPDATE SET status = 'loading',
                started_at = EXCLUDED.started_at, finished_at = NULL
                WHERE run.status = 'rejected' OR (run.status = 'loading' AND run.finished_at IS NULL)""",
            (run.run_id, run.source, run.rules_hash, run.segments_hash, run.today, looked_at),
        )
        cursor.execute(
            "UPDATE voucher.run SET planned_at = greatest(planned_at, %s), source = %s WHERE run_id = %s",
            (looked_at, run.source, run.run_id),
        )
        part_ids = _record(cursor, parts)
        if not _is_loaded(cursor, run.run_id):
            cursor.execute("DELETE FROM voucher.run_part WHERE run_id = %s", (run.run_id,))
            of_run = [(run.run_id, part_id, run.run_id) for part_id in part_ids]
            execute_values(cursor, "INSERT INTO voucher.run_part VALUES %s", of_run, page_size=PAGE)
        execute_values(
            cursor,
            """INSERT INTO voucher.rule (run_id, position, name, drop_when, because, share_low, share_high)
            VALUES %s ON CONFLICT (run_id, position) DO UPDATE SET because = EXCLUDED.because,
                share_low = EXCLUDED.share_low, share_high = EXCLUDED.share_high""",
            [(run.run_id, place, r.name, r.drop_when, r.because, *r.share) for place, r in enumerate(rules, start=1)],
        )
        execute_values(
            cursor,
            """INSERT INTO voucher.kind (run_id, position, segment_name, measure, field, unit, title, because, choose,
                segment_titles)
            VALUES %s ON CONFLICT (run_id, segment_name) DO UPDATE SET position = EXCLUDED.position,
                title = EXCLUDED.title, because = EXCLUDED.because, segment_titles = EXCLUDED.segment_titles""",
            [(run.run_id, place, *_described(kind)) for place, kind in enumerate(kinds)],
        )
        cursor.execute("SELECT status FROM voucher.run WHERE run_id = %s", (run.run_id,))
        return str(cursor.fetchone().status)


def get(database: Database, run_id: str) -> Run:
    """Return the recorded run. Raises DatabaseError if there is none."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT run_id, source, rules_hash, segments_hash, today FROM voucher.run WHERE run_id = %s", (run_id,)
        )
        if row := cursor.fetchone():
            return Run(*row)
    raise DatabaseError(f"there is no run {run_id!r}; `python -m pipeline runs` lists them")


def is_loaded(database: Database, run_id: str) -> bool:
    """Return whether the run's tables are written and all its cleaned rows are there."""
    with database.transaction() as cursor:
        return _is_loaded(cursor, run_id)


def _is_loaded(cursor: Any, run_id: str) -> bool:
    cursor.execute(
        """SELECT finished_at IS NOT NULL
            AND NOT EXISTS (SELECT FROM voucher.unloaded_part WHERE unloaded_part.run_id = run.run_id) AS loaded
        FROM voucher.run WHERE run_id = %s""",
        (run_id,),
    )
    row = cursor.fetchone()
    return bool(row and row.loaded)


def _described(kind: Kind) -> tuple[Any, ...]:
    measure, titles = kind.measured, {segment.label: segment.title for segment in kind.segments if segment.title}
    title = kind.title or kind.name.replace("_", " ").capitalize()
    return kind.name, measure.name, measure.field, measure.unit, title, kind.because, kind.choose, Json(titles)


def _record(cursor: Any, parts: Sequence[Part]) -> list[int]:
    """Record what was found when the parts were read; return their part_ids."""
    recorded = execute_values(
        cursor,
        """INSERT INTO voucher.part (uri, etag, size, sha256, synthetic, rows) VALUES %s
        ON CONFLICT (uri, etag, size) DO UPDATE SET (sha256, synthetic, rows) =
            (EXCLUDED.sha256, EXCLUDED.synthetic, EXCLUDED.rows)
        RETURNING part_id""",
        [(part.uri, part.etag, part.size, part.sha256, part.synthetic, part.rows) for part in parts],
        page_size=PAGE,
        fetch=True,
    )
    return [row.part_id for row in recorded]
