"""Fixtures that write small histories and run the pipeline on them against a real Postgres."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.__main__ import main
from pipeline.evaluate.engine import DuckDB, open_duckdb
from pipeline.rules.segments import SegmentBook
from pipeline.settings import Settings
from tests.conftest import ROOT

# The labels of the first two kinds, in order.
FREQUENT, RECENCY = ([segment.label for segment in kind.segments] for kind in SegmentBook.load().kinds[:2])
ROW = {
    "timestamp": "2020-05-15 18:59:21.102761+00:00",
    "country_code": "Peru",
    "last_order_ts": "2020-04-15 00:00:00+00:00",
    "first_order_ts": "2020-03-01 00:00:00+00:00",
    "total_orders": "12.0",
    "voucher_amount": 2640.0,
}


def history(*rows: dict[str, Any], **types: pa.DataType) -> pa.Table:
    """Return one row per dict: ROW with these changes. Columns have the later edition's types, except in `types`."""
    whole = [ROW | row for row in rows]
    return pa.table({name: pa.array([row[name] for row in whole], types.get(name)) for name in whole[0]})


@pytest.fixture(scope="module")
def duckdb() -> Iterator[DuckDB]:
    """Yield a DuckDB for the tests of a module: opening one takes longer than reading a few rows."""
    with open_duckdb() as within:
        yield within


@pytest.fixture
def written(tmp_path: Path) -> Callable[[pa.Table], Path]:
    """Return a function that writes a history to a file in the test's own folder and returns its path."""

    def write(table: pa.Table, name: str = "history.parquet") -> Path:
        pq.write_table(table, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def settings(pipeline_database: str) -> Callable[..., Settings]:
    """Return a function that creates settings for the test's own database, with the pipeline's role."""

    def make(source: Path | str, **others: Any) -> Settings:
        return Settings(source=str(source), database_url=pipeline_database, **others)

    return make


@pytest.fixture
def query(database: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Yield a function that queries or changes the test's own database as its owner."""
    with closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True

        def ask(statement: str, *values: object) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall()

        yield ask


@pytest.fixture
def command(
    database: str, pipeline_database: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m pipeline …` in this process, and returns its exit code and output."""

    def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        with monkeypatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            for name, value in (
                {"DATABASE_URL": database, "PIPELINE_DATABASE_URL": pipeline_database} | environ
            ).items():
                patch.setenv(name, value)
            root.handlers = []  # as in a new process: the command sets its own
            try:
                code = main(arguments)
            except SystemExit as ended:
                code = int(str(ended.code))
            finally:
                root.handlers = handlers
                root.setLevel(level)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def process(database: str, pipeline_database: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m pipeline …` in a subprocess, for concurrent runs or another PYTHONPATH."""

    def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database, "PIPELINE_DATABASE_URL": pipeline_database} | environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call
