"""Write runs with cleaned rows, in the same form as the pipeline."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from tests.app.conftest import RUN, Tables

COLUMNS = "timestamp, country_code, first_order_ts, last_order_ts, total_orders, voucher_amount"
Row = Sequence[object]


@dataclass(frozen=True)
class CleanedRows:
    """The cleaned rows of an existing run. `published` writes and publishes the run as well."""

    database: str
    run_id: str = RUN

    @classmethod
    def published(cls, tables: Tables, run_id: str = RUN, rows: Sequence[Row] = ()) -> "CleanedRows":
        tables.publish(run_id)
        loaded = cls(tables.database, run_id)
        loaded.load(*rows)
        loaded.execute(
            "UPDATE voucher.run SET finished_at = now() WHERE run_id = %(run)s;"
            "INSERT INTO voucher.publication (run_id, actor) VALUES (%(run)s, 'test')"
        )
        return loaded

    def load(self, *rows: Row) -> None:
        """Write the rows as a further part of the run."""
        part = self.part()
        self.execute("SELECT voucher.open_partition(%(run)s)")
        with closing(psycopg2.connect(self.database)) as connection, connection, connection.cursor() as cursor:
            execute_values(
                cursor,
                f"INSERT INTO voucher.assignment (loaded_by, part_id, {COLUMNS}) VALUES %s",
                [(self.run_id, part, *row) for row in rows],
            )

    def part(self) -> int:
        return int(
            self.execute(
                "WITH part AS (INSERT INTO voucher.part (uri, etag, size, sha256)"
                " VALUES ('s3://bucket/key', gen_random_uuid(), 1, 'sha') RETURNING part_id)"
                " INSERT INTO voucher.run_part SELECT %(run)s, part_id, %(run)s FROM part RETURNING part_id"
            )
        )

    def generate(self, number: int) -> None:
        """Write this number of rows, of Peru and Latvia, as a further part. Each takes 80 bytes as CSV."""
        self.execute(
            f"INSERT INTO voucher.assignment (loaded_by, part_id, {COLUMNS})"
            " SELECT %(run)s, %(part)s, timestamptz '2018-01-01' + number * interval '7 seconds',"
            " CASE WHEN number %% 3 = 0 THEN 'Latvia' ELSE 'Peru' END, timestamptz '2017-01-01', '2017-06-01',"
            " number, 2640 FROM generate_series(1, %(number)s) AS number",
            part=self.part(),
            number=number,
        )

    def drop(self) -> None:
        """Drop the rows as `prune` does. Fail after two seconds if a reader holds a lock."""
        self.execute("SET lock_timeout = '2s'; DELETE FROM voucher.current_run; SELECT voucher.drop_partition(%(run)s)")

    def execute(self, statement: str, **values: object) -> Any:
        """Execute the statement and return the first value of its result, or None if it has no result."""
        with closing(psycopg2.connect(self.database)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, {"run": self.run_id, **values})
            return cursor.fetchone()[0] if cursor.description else None
