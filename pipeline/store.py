"""Writes a run to Postgres, under its own run_id, where no reader looks. Called by `run.py`'s steps plan and load."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
from psycopg2.extras import execute_values

from pipeline.database import Database, DatabaseError
from pipeline.engine import Results
from pipeline.rules import Rule
from pipeline.source import Part


@dataclass(frozen=True)
class Run:
    """What makes a run what it is; the run_id follows from all but the source."""

    run_id: str
    source: str
    rules_hash: str
    segments_hash: str
    today: date | None


def recorded(database: Database, part: Part) -> Part | None:
    """The part with the sha256 on record for its uri, ETag and size, or None."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT sha256, synthetic FROM voucher.part WHERE (uri, etag, size) = (%s, %s, %s)",
            (part.uri, part.etag, part.size),
        )
        row = cursor.fetchone()
    return replace(part, sha256=row.sha256, synthetic=row.synthetic) if row else None


def plan(database: Database, run: Run, parts: Sequence[Part], rules: Sequence[Rule]) -> str:
    """Put the run on record, unless it is; a rejected one starts again. Its status: loading, published or withdrawn."""
    with database.transaction() as cursor:
        cursor.execute(
            """INSERT INTO voucher.run (run_id, source, rules_hash, segments_hash, today, started_at, status)
            VALUES (%s, %s, %s, %s, %s, now(), 'loading')
            ON CONFLICT (run_id) DO UPDATE SET status = 'loading', source = EXCLUDED.source,
                started_at = EXCLUDED.started_at, finished_at = NULL
                WHERE run.status = 'rejected' OR (run.status = 'loading' AND run.finished_at IS NULL)""",
            (run.run_id, run.source, run.rules_hash, run.segments_hash, run.today),
        )
        if not _is_loaded(cursor, run.run_id):
            cursor.execute("DELETE FROM voucher.run_part WHERE run_id = %s", (run.run_id,))
            _insert_parts(cursor, run.run_id, parts)
        execute_values(
            cursor,
            """INSERT INTO voucher.rule (run_id, position, name, drop_when, because, share_low, share_high)
            VALUES %s ON CONFLICT (run_id, position) DO UPDATE SET because = EXCLUDED.because,
                share_low = EXCLUDED.share_low, share_high = EXCLUDED.share_high""",
            [(run.run_id, place, r.name, r.drop_when, r.because, *r.share) for place, r in enumerate(rules, start=1)],
        )
        cursor.execute("SELECT status FROM voucher.run WHERE run_id = %s", (run.run_id,))
        return str(cursor.fetchone().status)


def run(database: Database, run_id: str) -> Run:
    """The run on record. Raises DatabaseError when there is none."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT run_id, source, rules_hash, segments_hash, today FROM voucher.run WHERE run_id = %s", (run_id,)
        )
        if row := cursor.fetchone():
            return Run(*row)
    raise DatabaseError(f"there is no run {run_id!r}; `python -m pipeline run` makes one")


def status(database: Database, run_id: str) -> str:
    """loading, rejected, published or withdrawn. Raises DatabaseError when there is no such run."""
    with database.transaction() as cursor:
        cursor.execute("SELECT status FROM voucher.run WHERE run_id = %s", (run_id,))
        if row := cursor.fetchone():
            return str(row.status)
    raise DatabaseError(f"there is no run {run_id!r}; `python -m pipeline run` makes one")


def is_loaded(database: Database, run_id: str) -> bool:
    """Whether its tables are written and its cleaned rows are all there."""
    with database.transaction() as cursor:
        return _is_loaded(cursor, run_id)


def parts(database: Database, run_id: str) -> list[tuple[int, Part]]:
    """The run's parts, each with its part_id."""
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT part_id, uri, etag, size, sha256, synthetic FROM voucher.run_part
                JOIN voucher.part USING (part_id) WHERE run_id = %s ORDER BY part_id""",
            (run_id,),
        )
        return [(part_id, Part(*part)) for part_id, *part in cursor.fetchall()]


def begin(database: Database, run_id: str) -> None:
    """Open the run's partition; from here to `finish` it doesn't count as loaded, even if it was once."""
    with database.transaction() as cursor:
        cursor.execute("UPDATE voucher.run SET finished_at = NULL WHERE run_id = %s", (run_id,))
        cursor.execute("SELECT voucher.open_partition(%s)", (run_id,))


def load_part(database: Database, run_id: str, part_id: int, kept: pa.RecordBatchReader) -> int:
    """Replace the part's cleaned rows in the run's partition; how many they are.

    The lock is the database's own memory of a loader that was killed: its last words may still be on their way.
    """
    with database.bulk_transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", parameters=(run_id,))
        cursor.execute(
            "DELETE FROM voucher.assignment WHERE loaded_by = $1 AND part_id = $2", parameters=(run_id, part_id)
        )
        rows = cursor.adbc_ingest(
            "assignment", _labelled(kept, run_id, part_id), mode="append", db_schema_name="voucher"
        )
    return int(rows)


def finish(database: Database, run_id: str, results: Results) -> None:
    """Write the run's counts, votes and segments, and mark it as loaded."""
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (run_id,))
        for table, rows in results.tables.items():
            cursor.execute(f"DELETE FROM voucher.{table} WHERE run_id = %s", (run_id,))
            columns = ", ".join(["run_id", *rows.column_names])
            values = [(run_id, *row.values()) for row in rows.to_pylist()]
            execute_values(cursor, f"INSERT INTO voucher.{table} ({columns}) VALUES %s", values, page_size=1000)
        cursor.execute(
            """UPDATE voucher.run SET rows_in = %s, rows_kept = %s, data_from = %s, data_to = %s,
                finished_at = now() WHERE run_id = %s""",
            (results.rows_in, results.rows_kept, results.data_from, results.data_to, run_id),
        )


def _is_loaded(cursor: Any, run_id: str) -> bool:
    cursor.execute(
        """SELECT finished_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM voucher.run_part WHERE run_part.run_id = run.run_id
                AND to_regclass('voucher.assignment_' || loaded_by) IS NULL) AS loaded
        FROM voucher.run WHERE run_id = %s""",
        (run_id,),
    )
    row = cursor.fetchone()
    return bool(row and row.loaded)


def _insert_parts(cursor: Any, run_id: str, parts: Sequence[Part]) -> None:
    for part in parts:
        cursor.execute(
            """INSERT INTO voucher.part (uri, etag, size, sha256, synthetic) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (uri, etag, size) DO UPDATE SET (sha256, synthetic) = (EXCLUDED.sha256, EXCLUDED.synthetic)
            RETURNING part_id""",
            (part.uri, part.etag, part.size, part.sha256, part.synthetic),
        )
        cursor.execute("INSERT INTO voucher.run_part VALUES (%s, %s, %s)", (run_id, cursor.fetchone().part_id, run_id))


def _labelled(kept: pa.RecordBatchReader, run_id: str, part_id: int) -> pa.RecordBatchReader:
    """The rows with the columns part_id and loaded_by before them."""
    schema = pa.schema([("part_id", pa.int64()), ("loaded_by", pa.string()), *kept.schema])
    batches = (
        pa.record_batch(
            [pa.repeat(pa.scalar(part_id, pa.int64()), len(batch)), pa.repeat(run_id, len(batch)), *batch.columns],
            schema,
        )
        for batch in kept
    )
    return pa.RecordBatchReader.from_batches(schema, batches)
