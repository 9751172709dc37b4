"""Digests of the tables of a database, to compare with another database."""

from collections.abc import Collection, Mapping
from contextlib import closing
from typing import Any

import psycopg2

# The rows of the tables, each as a line of text, with parts by their addresses. Times are left out because they differ
# between runs, and so are numbers that Postgres assigns, and the address that contains one.
_GONE = "'{planned_at,decided_at,started_at,finished_at,published_at,checked_at,at,part_id,rows_uri}'::text[]"
_OF_RUN = ("run", "rule", "rule_outcome", "unplaced", "segment_vote", "segment")
_OF_PART = ("run_part", "loaded_part")
_OTHERS = ("part", "audit_outcome", "current_run", "publication")
_LINE = f"SELECT (to_jsonb(one) - {_GONE})::text"
_ROW = "timestamp, country_code, first_order_ts, last_order_ts, total_orders, voucher_amount"
_ROWS = "voucher.assignment JOIN voucher.part USING (part_id)"
TABLES = {
    **{name: f"{_LINE} FROM voucher.{name} AS one" for name in (*_OF_RUN, *_OTHERS)},
    **{
        name: f"{_LINE} || uri || etag FROM voucher.{name} AS one JOIN voucher.part USING (part_id)"
        for name in _OF_PART
    },
    "assignment": f"SELECT ROW(uri, etag, loaded_by, {_ROW})::text FROM {_ROWS}",
}
ANSWERS = {
    **{name: f"{TABLES[name]} JOIN voucher.current_run USING (run_id)" for name in _OF_RUN},
    "assignment": f"""SELECT ROW({_ROW})::text FROM {_ROWS} JOIN voucher.run_part USING (loaded_by, part_id)
        JOIN voucher.current_run USING (run_id)""",
}
# Independent of the order. A repeated or missing line changes the sums.
DIGEST = """SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(line, 0)::numeric), 0) || ' and '
    || coalesce(sum(hashtextextended(line, 1)::numeric), 0) FROM ({}) AS lines (line)"""


def query(database: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def held(database: str, lines: Mapping[str, str] = TABLES) -> dict[str, str]:
    """Return the number of rows and a checksum of each table. With ANSWERS, only of the published run's data, so that
    databases with different earlier runs can be compared.
    """
    with closing(psycopg2.connect(database, options="-c timezone=UTC")) as connection, connection.cursor() as cursor:
        found = {}
        for name, statement in lines.items():
            cursor.execute(DIGEST.format(statement))
            [(found[name],)] = cursor.fetchall()
        return found


def differing(one: Mapping[str, str], other: Mapping[str, str], without: Collection[str] = ()) -> list[str]:
    """Return a fault for each table with a different digest."""
    return [
        f"{name} holds {one[name]}; it should be {other[name]}"
        for name in other
        if name not in without and one[name] != other[name]
    ]
