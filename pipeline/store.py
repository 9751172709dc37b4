"""Writes a run to Postgres, under its own run_id, where no reader looks. Called by `run.py`'s steps plan and load."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg2.extras import execute_values

from pipeline import copying, rows
from pipeline.database import Database, DatabaseError
from pipeline.engine import Judged
from pipeline.results import Results
from pipeline.rules import Rule
from pipeline.source import Part

PAGE = 1000  # rows of a statement


@dataclass(frozen=True)
class Run:
    """What makes a run what it is; the run_id follows from all but the source."""

    run_id: str
    source: str
    rules_hash: str
    segments_hash: str
    today: date | None


def recorded(database: Database, parts: Sequence[Part]) -> list[Part]:
    """The parts whose uri, ETag and size are on record, with what was found when they were read."""
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


def now(database: Database) -> datetime:
    """The time by the database's clock, which all that plan and publish share."""
    with database.transaction() as cursor:
        cursor.execute("SELECT clock_timestamp() AS now")
        return cast(datetime, cursor.fetchone().now)


def plan(database: Database, run: Run, parts: Sequence[Part], rules: Sequence[Rule], looked_at: datetime) -> str:
    """Put the run on record, unless it is; a rejected one starts again. Its status: loading, published or withdrawn.

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


def begin(database: Database, run_id: str, rows_uri: str = "") -> int:
    """Find what earlier runs loaded of the run's parts by the same rules and segments, to the same place, and make
    ready for the others; how many need not be read again. Until `finish` the run doesn't count as loaded, even if it
    did once.

    rows_uri is the prefix of the Parquet files of cleaned rows, '' when they go to Postgres.
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


def unloaded(database: Database, run_id: str) -> list[tuple[int, Part]]:
    """The parts of the run that are to be read, each with its part_id."""
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT part_id, uri, etag, size, sha256, synthetic, rows FROM voucher.unloaded_part
                JOIN voucher.part USING (part_id) WHERE run_id = %s ORDER BY part_id""",
            (run_id,),
        )
        return [(part_id, Part(*part)) for part_id, *part in cursor.fetchall()]


def load_part(database: Database, run_id: str, part_id: int, part: Judged, rows_uri: str = "") -> None:
    """Put the part's cleaned rows into the run's partition, or under the prefix `rows_uri`, and its tally on record:
    both, or neither, and once, whoever else loads the same part at the same time.
    """
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", (run_id,))
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", (run_id, part_id))
        cursor.execute("SELECT FROM voucher.loaded_part WHERE (loaded_by, part_id) = (%s, %s)", (run_id, part_id))
        if cursor.rowcount:
            return
        _check_encoding(cursor, part.countries)
        if rows_uri:
            uri, kept = rows.write(rows_uri, run_id, part_id, part.kept())
        else:
            uri, kept = None, copying.copy_rows(cursor, part.kept(), part_id, run_id)
        cursor.execute(
            """INSERT INTO voucher.loaded_part (loaded_by, part_id, rows_kept, rows_uri, tally)
            VALUES (%s, %s, %s, %s, %s)""",
            (run_id, part_id, kept, uri, _as_bytes(part.tally())),
        )


def _check_encoding(cursor: Any, countries: Iterable[str]) -> None:
    """Raise DatabaseError for a country that the database can't hold."""
    encoding = cursor.connection.info.parameter_status("server_encoding")
    for country in [] if encoding in {"UTF8", "SQL_ASCII"} else sorted(countries):
        try:
            cursor.execute("SELECT %s", (country,))
        except psycopg2.errors.UntranslatableCharacter:
            raise DatabaseError(
                f"the database can't hold the country {country!r}, which has a letter that its encoding, {encoding}, "
                "lacks; create a database with ENCODING 'UTF8', or correct the country in the source"
            ) from None


def tallies(database: Database, run_id: str) -> Iterator[pa.Table]:
    """The tally of each of the run's parts, whichever run loaded it."""
    with database.transaction() as cursor, cursor.connection.cursor("tallies") as stream:
        stream.itersize = 100
        stream.execute(
            """SELECT tally FROM voucher.run_part JOIN voucher.loaded_part USING (loaded_by, part_id)
            WHERE run_id = %s ORDER BY part_id""",
            (run_id,),
        )
        for row in stream:
            yield pq.read_table(pa.BufferReader(row.tally))


def finish(database: Database, run_id: str, results: Results) -> None:
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
    """Delete the files under the prefix that runs on record wrote and don't count; those runs. Others' stay."""
    deleted = []
    for run_id in rows.runs(rows_uri):
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (run_id,))
            cursor.execute(
                """SELECT FROM voucher.run WHERE run_id = %s
                    AND NOT EXISTS (SELECT FROM voucher.loaded_part WHERE loaded_by = run_id)""",
                (run_id,),
            )
            if cursor.rowcount:
                rows.delete(rows_uri, run_id)
                deleted.append(run_id)
    return deleted


def _is_loaded(cursor: Any, run_id: str) -> bool:
    cursor.execute(
        """SELECT finished_at IS NOT NULL
            AND NOT EXISTS (SELECT FROM voucher.unloaded_part WHERE unloaded_part.run_id = run.run_id) AS loaded
        FROM voucher.run WHERE run_id = %s""",
        (run_id,),
    )
    row = cursor.fetchone()
    return bool(row and row.loaded)


def _record(cursor: Any, parts: Sequence[Part]) -> list[int]:
    """Put what was found when the parts were read on record; their part_ids."""
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


def _as_bytes(tally: pa.Table) -> bytes:
    """As Parquet: the same tally gives the same bytes."""
    sink = io.BytesIO()
    pq.write_table(tally, sink, compression="zstd")
    return sink.getvalue()
