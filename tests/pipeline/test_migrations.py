"""Migrations of tables that earlier versions filled."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from pipeline import migrations
from pipeline.publish.database import Database
from pipeline.publish.publication import superseding
from tests.conftest import ROOT

SECRET = "hunter2Secret"
RUN = """INSERT INTO voucher.run (run_id, source, rules_hash, segments_hash, started_at, status, rows_uri)
    VALUES (%s, %s, '', '', '2026-01-01', 'published', %s)"""
PART = "INSERT INTO voucher.part (uri, etag, size, sha256) VALUES (%s, '\"1\"', 5, 'abc')"


def downgrade(database: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "pipeline" / "migrations"))
    engine = create_engine(database.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()


def test_addresses_on_record_lose_their_secrets(database: str, query: Callable[..., list[tuple[Any, ...]]]) -> None:
    """A migration redacts recorded addresses that contain secrets, keeps the others, and fills `decided_at`."""
    downgrade(database, "0003")
    signed = [f"https://u:{SECRET}@example.org/{name}?X-Amz-Signature={SECRET}{day}" for name in "ab" for day in (1, 2)]
    plain = ["s3://bucket/2024/a.parquet", "/data/b@home.parquet"]
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        for number, address in enumerate([*signed, *plain]):
            cursor.execute(RUN, (f"{number:016}", address, f"s3://KEY:{SECRET}@bucket/rows/"))
            cursor.execute(PART, (address,))
        cursor.execute("INSERT INTO voucher.current_run VALUES (true, %s, '2026-01-02', '2026-01-03')", (f"{0:016}",))

    migrations.migrate(database)

    assert [row[0] for row in query("SELECT uri FROM voucher.part ORDER BY part_id")[-2:]] == plain
    sources = {row[0] for row in query("SELECT source FROM voucher.run")}
    assert len(sources) == 4  # two paths on one server, and the two plain addresses
    assert SECRET not in str([query(f"SELECT * FROM voucher.{table}") for table in ("run", "part")])
    assert query("SELECT decided_at = published_at FROM voucher.current_run") == [(True,)]
    assert superseding(Database(database), f"{1:016}").run_id == f"{0:016}"


def test_runs_of_earlier_versions_get_their_kinds(database: str, query: Callable[..., list[tuple[Any, ...]]]) -> None:
    """A migration derives the kinds of earlier runs from their segments, so that a rollback to one still answers."""
    downgrade(database, "0006")
    measures = {"recent": "days_since_last_order", "frequent": "total_orders"}
    with closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO voucher.run (run_id, source, rules_hash, segments_hash, planned_at, started_at, status)
            VALUES (%s, 's3://bucket/key', '', '', now(), now(), 'published')""",
            (f"{0:016}",),
        )
        for kind, measure in measures.items():
            for position, bounds in enumerate([(0, 1), (2, None)]):
                cursor.execute(
                    """INSERT INTO voucher.segment (run_id, country_code, segment_name, segment, position, measure,
                        lower_bound, upper_bound, voucher_amount, uses, rows, basis, tied)
                    VALUES (%s, 'Peru', %s, %s, %s, %s, %s, %s, 2640, 1, 1, 'segment', false)""",
                    (f"{0:016}", kind, str(position), position, measure, *bounds),
                )

    migrations.migrate(database)

    found = query("SELECT position, segment_name, measure, field, unit, title FROM voucher.kind ORDER BY position")
    assert found == [
        (0, "frequent", "total_orders", "total_orders", "orders", "Number of orders"),
        (1, "recent", "days_since_last_order", "last_order_ts", "days", "Days since the last order"),
    ]
