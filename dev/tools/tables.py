"""The dictionary in docs/tables.md, made from the comments of a migrated database: `python -m dev.tools.tables`.

`make tables` calls it. It starts a Postgres of its own, for three seconds.
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path

import psycopg2

from dev.modules import ROOT
from dev.ports import free_port
from dev.services.postgres import Postgres
from pipeline.migrations import migrate

PAGE = ROOT / "docs" / "tables.md"
MARK = "<!-- `make tables` writes the rest of this page. -->\n"
# The tables in the order of the page. A new table goes where a reader looks for it.
GROUPS = {
    "Answers": ("current_run", "run", "segment", "segment_vote", "kind", "effect", "policy", "draw"),
    "Checks": ("rule", "rule_outcome", "unplaced", "audit_outcome"),
    "Record": ("publication", "notice", "alembic_version"),
    "Cleaned rows": ("assignment", "part", "run_part", "loaded_part", "unloaded_part"),
}
TYPES = {"timestamp with time zone": "timestamptz", "character varying(32)": "varchar(32)"}
COLUMNS = """SELECT relname, obj_description(pg_class.oid, 'pg_class') AS table_comment, attname,
    format_type(atttypid, atttypmod) AS type, col_description(pg_class.oid, attnum) AS comment,
    attnum = ANY((SELECT indkey FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)::smallint[]) AS in_key
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
  WHERE relnamespace = 'voucher'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
    AND attnum > 0 AND NOT attisdropped
  ORDER BY relname, attnum"""


class UndocumentedError(Exception):
    """A table or a column has no comment, or a table has no place on the page."""


def dictionary(database: str) -> str:
    """Return the Markdown of all tables of the migrated database at this URL. Raises UndocumentedError."""
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        tables = {name: _table(list(rows)) for name, rows in groupby(cursor.fetchall(), key=lambda row: str(row[0]))}
    placed = [name for names in GROUPS.values() for name in names]
    if different := {*tables} ^ {*placed}:
        raise UndocumentedError(
            f"dev/tools/tables.py places other tables than there are: {', '.join(sorted(different))}"
        )
    sections = ("\n".join([f"## {title}\n", *map(tables.__getitem__, names)]) for title, names in GROUPS.items())
    return "\n".join(sections)


def page(database: str) -> str:
    """Return docs/tables.md with the dictionary of this database."""
    head, mark, _ = PAGE.read_text().partition(MARK)
    return f"{head}{mark}\n{dictionary(database)}"


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = [
        f"### {rows[0][0]}\n",
        f"{_said(rows[0][1], rows[0][0])}\n",
        "| column | type | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *_columns(rows), ""])


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    for table, _, name, kind, comment, in_key in rows:
        named = f"**`{name}`**" if in_key else f"`{name}`"
        yield f"| {named} | {TYPES.get(kind, kind)} | {_said(comment, f'{table}.{name}')} |"


def _said(comment: str | None, of: str) -> str:
    if not comment:
        raise UndocumentedError(f"voucher.{of} has no comment; add one in the migration that creates it")
    return comment


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder), free_port(), secrets.token_hex(8), secrets.token_hex(8), durable=False)
        with postgres.running():
            migrate(postgres.url())
            PAGE.write_text(page(postgres.url()))


if __name__ == "__main__":
    main()
