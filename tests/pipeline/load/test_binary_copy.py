"""The binary COPY: Postgres holds the rows that Arrow held, for any rows."""

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.load import binary_copy

KINDS = {
    "timestamp": pa.timestamp("us", "UTC"),
    "country_code": pa.string(),
    "first_order_ts": pa.timestamp("us", "UTC"),
    "last_order_ts": pa.timestamp("us", "UTC"),
    "total_orders": pa.int32(),
    "voucher_amount": pa.decimal128(12, 2),
}
TIMES = st.none() | st.datetimes(
    datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)
)
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "timestamp": TIMES,
            "country_code": st.sampled_from(["Peru", "Côte d'Ivoire", '"', "🇵🇪", "\\N", "x" * 5000])
            | st.text(LETTERS, min_size=1),
            "first_order_ts": TIMES,
            "last_order_ts": TIMES,
            "total_orders": st.none() | st.integers(0, 2**31 - 1),
            "voucher_amount": st.none() | st.decimals(Decimal("0.00"), Decimal("9999999999.99"), places=2),
        }
    ),
    max_size=30,
)
NOTHING = dict.fromkeys(KINDS) | {"country_code": "Peru"}
LEAST = {**NOTHING, "timestamp": datetime(1000, 1, 1, tzinfo=UTC), "voucher_amount": Decimal("0.00"), "total_orders": 0}
MOST = LEAST | {"voucher_amount": Decimal("9999999999.99"), "total_orders": 2**31 - 1}


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=pa.schema(KINDS))


def copied(database: str, batches: list[pa.RecordBatch], loaded_by: str = "0" * 16) -> "Counter[tuple[Any, ...]]":
    """Copy the batches, and return the rows that Postgres holds, with amounts as text."""
    with closing(psycopg2.connect(database, options="-c timezone=UTC")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied (LIKE voucher.assignment)")
        stream = binary_copy.Stream(batches, 2**40, loaded_by)
        cursor.copy_expert(f"COPY copied ({binary_copy.COLUMNS}) FROM STDIN (FORMAT binary)", stream, 1000)
        cursor.execute(f"SELECT {', '.join(KINDS)}, part_id, loaded_by FROM copied")
        return Counter((*row[:5], row[5] if row[5] is None else str(row[5]), *row[6:]) for row in cursor.fetchall())


def held(batches: list[pa.RecordBatch]) -> "Counter[tuple[Any, ...]]":
    rows = [row for each in batches for row in each.to_pylist()]
    return Counter(
        (
            *list(row.values())[:5],
            None if row["voucher_amount"] is None else str(row["voucher_amount"]),
            2**40,
            "0" * 16,
        )
        for row in rows
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, more=ROWS, offset=st.integers(0, 5))
@example(rows=[LEAST, MOST, NOTHING], more=[NOTHING], offset=1)
def test_every_row_comes_back(
    database: str, rows: list[dict[str, Any]], more: list[dict[str, Any]], offset: int
) -> None:
    """Every row of every batch comes back unchanged, and of a slice no more than its rows."""
    batches = [batch(rows).slice(offset), batch(more)]
    assert copied(database, batches) == held(batches)


@pytest.mark.parametrize(
    "batches", [[], [batch([])], [batch([NOTHING]).slice(1)], [batch([NOTHING]).filter(pa.array([False]))]]
)
def test_no_row_is_no_row(database: str, batches: list[pa.RecordBatch]) -> None:
    """A part or a batch without kept rows copies nothing."""
    assert not copied(database, batches)
