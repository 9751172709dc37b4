"""docs/tables.md: the dictionary of the schema voucher is up to date, and its queries work with the API's role."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dev.tools import tables
from pipeline import run
from pipeline.settings import Settings
from tests.conftest import API, as_role
from tests.pipeline.conftest import FREQUENT, RECENCY, history

QUERIES = re.findall(r"^```sql\n(.*?)^```$", tables.PAGE.read_text(), re.DOTALL | re.MULTILINE)
Query = Callable[..., list[tuple[Any, ...]]]


def test_the_page_is_up_to_date(database: str) -> None:
    """The page has each table and column of a migrated database, with its type and its comment."""
    assert tables.page(database) == tables.PAGE.read_text(), "run: make tables"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER TABLE voucher.run ADD COLUMN colour text", "voucher.run.colour has no comment"),
        ("COMMENT ON TABLE voucher.run IS NULL", "voucher.run has no comment"),
        ("CREATE TABLE voucher.other (a int); COMMENT ON TABLE voucher.other IS 'x';"
         "COMMENT ON COLUMN voucher.other.a IS 'x'", "places other tables than there are: other"),
    ],
)  # fmt: skip
def test_what_is_not_described_is_an_error(database: str, query: Query, change: str, message: str) -> None:
    """A table or a column without a comment or a place on the page is an error that names it."""
    query(f"{change}; SELECT 1")
    with pytest.raises(tables.UndocumentedError, match=message):
        tables.dictionary(database)


def test_the_queries_work(settings: Callable[..., Settings], written: Callable[..., Path], database: str) -> None:
    """Each query of the page gives rows of the published run only, to a role that can only read."""
    earlier = history({"voucher_amount": 1.0}, {"voucher_amount": 1.0})
    now = history({}, {"country_code": "Latvia", "voucher_amount": 4400.0})
    runs = [run.run(settings(written(table, name)), "ana") for table, name in ((earlier, "a"), (now, "b"))]
    answers, publications, rows = (ask(as_role(database, API), text) for text in QUERIES)
    assert [label for _, label, *_ in answers] == [*FREQUENT, *RECENCY]
    assert {amount for _, _, amount, *_ in answers} == {2640}
    assert [(row[1], row[2], row[4], row[6]) for row in publications] == [
        (runs[1], runs[0], "ana", 2),
        (runs[0], None, "ana", 2),
    ]
    assert [(country, f"{month:%Y-%m}", number, mean) for country, month, number, mean in rows] == [
        ("Latvia", "2020-05", 1, 4400),
        ("Peru", "2020-05", 1, 2640),
    ]


def test_a_role_of_ones_own_can_read(database: str, query: Query) -> None:
    """The statements of the page give a role the right to read every table, and to write none."""
    role = f"analyst_{database[-8:]}"
    query(f"CREATE ROLE {role} LOGIN PASSWORD 'word'; SELECT 1")
    try:
        for statement in re.findall(r"`(GRANT [^`]+) TO analyst`", tables.PAGE.read_text()):
            query(f"{statement} TO {role}; SELECT 1")
        for text in QUERIES:
            assert ask(as_role(database, role, "word"), text) == []
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(as_role(database, role, "word"), "DELETE FROM voucher.run RETURNING 1")
    finally:
        query(
            f"""REVOKE ALL ON ALL TABLES IN SCHEMA voucher FROM {role}; REVOKE ALL ON SCHEMA voucher FROM {role};
            DROP ROLE {role}; SELECT 1"""
        )


def ask(url: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(statement)
        return cursor.fetchall()
