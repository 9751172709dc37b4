"""The pipeline's side of Postgres: plan a run, load its parts, publish it, prune what is old.

Called by `run.py`. Everything of a run is written under its own run_id, where no reader looks, until `publish` moves
the pointer `voucher.current_run` in one transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import adbc_driver_manager
import psycopg2
import pyarrow as pa
from adbc_driver_postgresql import dbapi as adbc
from psycopg2.extras import NamedTupleCursor, execute_values

from pipeline import PipelineError
from pipeline.engine import Results
from pipeline.rules import Rule
from pipeline.source import Part

CONNECT_SECONDS = 10
ABANDONED = "1 day"  # a run that began this long ago and was never published counts as given up


class StoreError(PipelineError):
    """Postgres refuses: tables missing, a role without rights, a run that isn't there."""


class StoreAway(StoreError):
    """Postgres doesn't answer, or went away."""

    passing = True


@dataclass(frozen=True)
class Run:
    """What makes a run what it is; the run_id follows from all but the source."""

    run_id: str
    source: str
    rules_hash: str
    segments_hash: str
    today: date | None


class Store:
    """The tables in schema `voucher`, through the pipeline's own role. Every method is a transaction of its own."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose rows are named tuples; committed at the end, rolled back on any error.

        Raises StoreAway or StoreError in place of the driver's errors.
        """
        with _postgres_errors():
            connection = psycopg2.connect(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                application_name="voucher-pipeline",
                cursor_factory=NamedTupleCursor,
            )
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SET TIME ZONE 'UTC'")
                    yield cursor
            finally:
                connection.close()

    def recorded(self, part: Part) -> Part | None:
        """The part with the sha256 on record for its uri, ETag and size, or None."""
        with self.transaction() as cursor:
            cursor.execute(
                "SELECT sha256 FROM voucher.part WHERE (uri, etag, size) = (%s, %s, %s)",
                (part.uri, part.etag, part.size),
            )
            row = cursor.fetchone()
        return Part(part.uri, part.etag, part.size, row.sha256) if row else None

    def plan(self, run: Run, parts: Sequence[Part], rules: Sequence[Rule]) -> str:
        """Put the run on record, unless it is; a rejected one starts again. Its status: loading, published or
        withdrawn.
        """
        with self.transaction() as cursor:
            cursor.execute(
                """INSERT INTO voucher.run (run_id, source, rules_hash, segments_hash, today, started_at, status)
                VALUES (%s, %s, %s, %s, %s, now(), 'loading')
                ON CONFLICT (run_id) DO UPDATE SET status = 'loading', source = EXCLUDED.source,
                    started_at = EXCLUDED.started_at, finished_at = NULL
                    WHERE run.status = 'rejected' OR run.finished_at IS NULL""",
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
                [
                    (run.run_id, place, r.name, r.drop_when, r.because, *r.share)
                    for place, r in enumerate(rules, start=1)
                ],
            )
            cursor.execute("SELECT status FROM voucher.run WHERE run_id = %s", (run.run_id,))
            return str(cursor.fetchone().status)

    def run(self, run_id: str) -> Run:
        """The run on record. Raises StoreError when there is none."""
        with self.transaction() as cursor:
            cursor.execute(
                "SELECT run_id, source, rules_hash, segments_hash, today FROM voucher.run WHERE run_id = %s", (run_id,)
            )
            if row := cursor.fetchone():
                return Run(*row)
        raise StoreError(f"there is no run {run_id!r}; `python -m pipeline run` makes one")

    def is_loaded(self, run_id: str) -> bool:
        """Whether its tables are written and its cleaned rows are all there."""
        with self.transaction() as cursor:
            return _is_loaded(cursor, run_id)

    def parts(self, run_id: str) -> list[tuple[int, Part]]:
        """The run's parts, each with its part_id."""
        with self.transaction() as cursor:
            cursor.execute(
                """SELECT part_id, uri, etag, size, sha256 FROM voucher.run_part JOIN voucher.part USING (part_id)
                WHERE run_id = %s ORDER BY part_id""",
                (run_id,),
            )
            return [(row.part_id, Part(row.uri, row.etag, row.size, row.sha256)) for row in cursor.fetchall()]

    def load_part(self, run_id: str, part_id: int, kept: pa.RecordBatchReader) -> int:
        """Replace the part's cleaned rows in the run's partition; how many they are.

        Two that load the same run wait for each other here, so the second replaces what the first wrote.
        """
        with self.transaction() as cursor:
            cursor.execute("SELECT voucher.open_partition(%s)", (run_id,))
        with _postgres_errors(), adbc.connect(self._url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", parameters=(run_id,))
            cursor.execute(
                "DELETE FROM voucher.assignment WHERE loaded_by = $1 AND part_id = $2", parameters=(run_id, part_id)
            )
            rows = cursor.adbc_ingest(
                "assignment", _labelled(kept, run_id, part_id), mode="append", db_schema_name="voucher"
            )
            connection.commit()
        return int(rows)

    def finish(self, run_id: str, results: Results) -> None:
        """Write the run's counts, votes and segments, and mark it as loaded."""
        with self.transaction() as cursor:
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

    def reject(self, run_id: str) -> None:
        """Mark a run that failed its audits, and drop its rows; its counts and audits stay. A published run stays as
        it is.
        """
        with self.transaction() as cursor:
            cursor.execute(
                "UPDATE voucher.run SET status = 'rejected' WHERE run_id = %s AND status = 'loading' RETURNING run_id",
                (run_id,),
            )
            if cursor.fetchone():
                cursor.execute("SELECT voucher.drop_partition(%s)", (run_id,))

    def publish(self, run_id: str, actor: str, reason: str | None = None) -> str | None:
        """Let readers see this run, at once and as a whole; the run_id that they saw before.

        When they see it already, only `checked_at` is set.
        """
        with self.transaction() as cursor:
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

    def prune(self, keep: int) -> list[str]:
        """Drop the cleaned rows that neither the last `keep` published runs nor a run under way refer to; the
        partitions' runs.
        """
        with self.transaction() as cursor:
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
            """INSERT INTO voucher.part (uri, etag, size, sha256) VALUES (%s, %s, %s, %s)
            ON CONFLICT (uri, etag, size) DO UPDATE SET sha256 = EXCLUDED.sha256 RETURNING part_id""",
            (part.uri, part.etag, part.size, part.sha256),
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


@contextmanager
def _postgres_errors() -> Iterator[None]:
    """The drivers' errors as ours; none holds a password."""
    try:
        yield
    except (
        psycopg2.errors.UndefinedTable,
        psycopg2.errors.InvalidSchemaName,
        psycopg2.errors.UndefinedFunction,
    ) as error:
        raise StoreError(
            f"Postgres lacks the tables ({_first_line(error)}); `python -m pipeline migrate` makes them"
        ) from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError, adbc_driver_manager.OperationalError) as error:
        raise StoreAway(
            f"Postgres does not answer ({_first_line(error)}); check DATABASE_URL and that it runs"
        ) from error
    except (psycopg2.Error, adbc_driver_manager.Error) as error:
        raise StoreError(f"Postgres refused: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
