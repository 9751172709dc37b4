"""Write a run's rows, tallies and results under its own run_id, out of readers' sight. Called by `steps`, `run.py`."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg2.extras import execute_values

from pipeline.evaluate.engine import EvaluatedPart
from pipeline.evaluate.totals import Results
from pipeline.load import binary_copy, row_files
from pipeline.publish.database import Database, DatabaseError
from pipeline.publish.runs import PAGE
from pipeline.source.parts import Part


def prepare(database: Database, run_id: str, rows_uri: str = "") -> int:
    """Reuse the parts that earlier runs loaded by the same rules and segments to the same place; return their number.

    Until `write_results` the run counts as not loaded, even if it was. rows_uri is the prefix for Parquet files of
    cleaned rows, or '' if they go to Postgres.
    """
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE voucher.run SET finished_at = NULL, rows_uri = %(rows_uri)s WHERE run_id = %(run_id)s",
            {"rows_uri": rows_uri or None, "run_id": run_id},
        )
        cursor.execute(
            """UPDATE voucher.run_part SET loaded_by = coalesce((
                SELECT loaded_part.loaded_by
                FROM voucher.loaded_part JOIN voucher.run AS loader ON loader.run_id = loaded_by
                WHERE loaded_part.part_id = run_part.part_id
                    AND (loader.rules_hash, loader.segments_hash) = (run.rules_hash, run.segments_hash)
                    AND loader.today IS NOT DISTINCT FROM run.today
                    AND loader.rows_uri IS NOT DISTINCT FROM run.rows_uri
                    AND (loader.rows_uri IS NOT NULL OR to_regclass('voucher.assignment_' || loaded_by) IS NOT NULL)
                ORDER BY loader.run_id = run.run_id DESC, loader.started_at LIMIT 1), run.run_id)
            FROM voucher.run WHERE run.run_id = run_part.run_id AND run.run_id = %s""",
            (run_id,),
        )
        cursor.execute(
            """SELECT count(*) AS parts, count(unloaded_part.part_id) AS unread
            FROM voucher.run_part LEFT JOIN voucher.unloaded_part USING (run_id, part_id) WHERE run_id = %s""",
            (run_id,),
        )
        counted = cursor.fetchone()
        if counted.unread and not rows_uri:
            cursor.execute("SELECT voucher.open_partition(%s)", (run_id,))
        return int(counted.parts - counted.unread)


def unread_parts(database: Database, run_id: str) -> list[tuple[int, Part]]:
    """Return the parts of the run that must be read, each with its part_id."""
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT part_id, uri, etag, size, sha256, synthetic, rows FROM voucher.unloaded_part
                JOIN voucher.part USING (part_id) WHERE run_id = %s ORDER BY part_id""",
            (run_id,),
        )
        return [(part_id, Part(*part)) for part_id, *part in cursor.fetchall()]


def parts(database: Database, run_id: str) -> list[Part]:
    """Return all parts of the run."""
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT uri, etag, size, sha256, synthetic, rows FROM voucher.run_part JOIN voucher.part USING (part_id)
                WHERE run_id = %s ORDER BY uri""",
            (run_id,),
        )
        return [Part(*part) for part in cursor.fetchall()]


def write_part(database: Database, run_id: str, part_id: int, part: EvaluatedPart, rows_uri: str = "") -> None:
    """Write the part's cleaned rows to the run's partition or under the prefix `rows_uri`, and record its tally.

    Both or neither is written, and only once, even if another worker loads the same part at the same time.
    """
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", (run_id,))
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", (run_id, part_id))
        cursor.execute("SELECT FROM voucher.loaded_part WHERE (loaded_by, part_id) = (%s, %s)", (run_id, part_id))
        if cursor.rowcount:
            return
        _check_encoding(cursor, part.countries)
        if rows_uri:
            uri, kept = row_files.write(rows_uri, run_id, part_id, part.kept())
        else:
            uri, kept = None, binary_copy.copy_rows(cursor, part.kept(), part_id, run_id)
        cursor.execute(
            """INSERT INTO voucher.loaded_part (loaded_by, part_id, rows_kept, rows_uri, tally)
            VALUES (%s, %s, %s, %s, %s)""",
            (run_id, part_id, kept, uri, _as_bytes(part.tally())),
        )


def tallies(database: Database, run_id: str) -> Iterator[pa.Table]:
    """Yield the tally of each of the run's parts, whichever run loaded it."""
    with database.transaction() as cursor, cursor.connection.cursor("tallies") as stream:
        stream.itersize = 100
        stream.execute(
            """SELECT tally FROM voucher.run_part JOIN voucher.loaded_part USING (loaded_by, part_id)
            WHERE run_id = %s ORDER BY part_id""",
            (run_id,),
        )
        for row in stream:
            yield pq.read_table(pa.BufferReader(row.tally))


def write_results(database: Database, run_id: str, results: Results) -> None:
    """Write the run's counts, votes and segments, and mark it as loaded."""
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (run_id,))
        for table, found in results.tables.items():
            cursor.execute(f"DELETE FROM voucher.{table} WHERE run_id = %s", (run_id,))
            columns = ", ".join(["run_id", *found.column_names])
            values = ((run_id, *row.values()) for some in found.to_batches(PAGE) for row in some.to_pylist())
            execute_values(cursor, f"INSERT INTO voucher.{table} ({columns}) VALUES %s", values, page_size=PAGE)
        cursor.execute(
            """UPDATE voucher.run SET rows_in = %s, rows_kept = %s, data_from = %s, data_to = %s,
                finished_at = now() WHERE run_id = %s""",
            (results.rows_in, results.rows_kept, results.data_from, results.data_to, run_id),
        )


def delete_unused_rows(database: Database, rows_uri: str) -> list[str]:
    """Delete the files of recorded runs under the prefix that no run needs; return the ids of these runs."""
    deleted = []
    for run_id in row_files.runs(rows_uri):
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (run_id,))
            cursor.execute(
                """SELECT FROM voucher.run WHERE run_id = %s
                    AND NOT EXISTS (SELECT FROM voucher.loaded_part WHERE loaded_by = run_id)""",
                (run_id,),
            )
            if cursor.rowcount:
                row_files.delete(rows_uri, run_id)
                deleted.append(run_id)
    return deleted


def _check_encoding(cursor: Any, countries: Iterable[str]) -> None:
    """Raise DatabaseError for a country whose letters the database's encoding lacks."""
    encoding = cursor.connection.info.parameter_status("server_encoding")
    for country in [] if encoding in {"UTF8", "SQL_ASCII"} else sorted(countries):
        try:
            cursor.execute("SELECT %s", (country,))
        except psycopg2.errors.UntranslatableCharacter:
            raise DatabaseError(
                f"the database can't store the country {country!r}, because its encoding, {encoding}, lacks a "
                "letter; create a database with ENCODING 'UTF8', or correct the country in the source"
            ) from None


def _as_bytes(tally: pa.Table) -> bytes:
    """Return the tally as Parquet. The same tally gives the same bytes."""
    sink = io.BytesIO()
    pq.write_table(tally, sink, compression="zstd")
    return sink.getvalue()
