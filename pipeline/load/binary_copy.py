"""Write cleaned rows in the binary format of Postgres' COPY, column by column. Called by `tables`.

It takes a fifth of the time of a driver that writes row by row, and loading is most of a run's time. The library pgpq
(0.12) would save 75 lines, but takes 1.1 to 1.4 times as long and has no wheel for Linux on ARM. The format:
https://www.postgresql.org/docs/current/sql-copy.html, section "Binary Format"; for numeric values: numeric_recv in
https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c, which drops leading zeros.
"""

import io
import sys
import threading
from collections.abc import Iterable, Iterator
from copy import copy
from types import TracebackType
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
from numpy.typing import NDArray

COLUMNS = "part_id, loaded_by, timestamp, country_code, first_order_ts, last_order_ts, total_orders, voucher_amount"
COPY = f"COPY voucher.assignment ({COLUMNS}) FROM STDIN (FORMAT binary)"
CHUNK = 1 << 18  # bytes of a message
START, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
EPOCH = np.datetime64("2000-01-01", "us").astype(np.int64)  # Postgres counts microseconds from there
TIMES = ("timestamp", "first_order_ts", "last_order_ts")
NULLABLE = (*TIMES, "total_orders", "voucher_amount")
WEIGHT, SCALE = 2, 2  # an amount has three digits to the base of 10,000 before the point, and two decimals behind it
_printed = threading.local()  # in each thread, what psycopg2 printed last
NUMERIC = np.dtype([("digits", ">i2"), ("weight", ">i2"), ("sign", ">i2"), ("scale", ">i2"), ("values", ">i2", (4,))])


def copy_rows(cursor: Any, batches: Iterable[pa.RecordBatch], part_id: int, loaded_by: str) -> int:
    """Copy all batches of cleaned rows of one part (see EvaluatedPart.kept) into the table; return the number of rows.

    If the server ends the connection, psycopg2 prints the server's error and raises a vague one ("invalid socket").
    This function raises the server's error instead, and prints nothing.
    """
    sys.excepthook, _printed.error = _hook, None
    try:
        cursor.copy_expert(COPY, Stream(batches, part_id, loaded_by), CHUNK)
    except psycopg2.Error:
        if _printed.error:
            raise copy(_printed.error) from None  # psycopg2 never lets go of its own, nor of the frames that it passes
        raise
    return int(cursor.rowcount)


def _hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if kind is SystemError and isinstance(error.__cause__, psycopg2.Error):
        _printed.error = error.__cause__
    else:
        sys.__excepthook__(kind, error, traceback)


class Stream(io.RawIOBase):
    """A file object for psycopg2's copy_expert."""

    def __init__(self, batches: Iterable[pa.RecordBatch], part_id: int, loaded_by: str) -> None:
        self._chunks = _chunks(batches, part_id, loaded_by)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _chunks(batches: Iterable[pa.RecordBatch], part_id: int, loaded_by: str) -> Iterator[bytes]:
    yield START
    for batch in batches:
        yield from _rows(batch, part_id, loaded_by)
    yield END


def _rows(batch: pa.RecordBatch, part_id: int, loaded_by: str) -> Iterator[bytes]:
    """Yield groups of rows with the same country and nulls: these have the same length, so a table can be filled."""
    countries = batch["country_code"].dictionary_encode()
    alike = countries.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    nullable = [column for column in NULLABLE if batch[column].null_count]
    for column in nullable:
        alike = 2 * alike + batch[column].is_null().to_numpy(zero_copy_only=False)
    values = _values(batch)
    for kind in np.flatnonzero(np.bincount(alike)):
        rows = np.flatnonzero(alike == kind)
        nulls = {column for bit, column in enumerate(reversed(nullable)) if kind >> bit & 1}
        country = countries.dictionary[int(kind) >> len(nullable)].as_py()
        table = np.repeat(_row(part_id, loaded_by.encode(), country.encode(), nulls), len(rows))
        for column, all_values in values.items():
            if column not in nulls:
                (table[column]["values"] if column == "voucher_amount" else table[column])[:] = all_values[rows]
        yield table.tobytes()


def _values(batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
    """Return values by column as Postgres encodes them: times, orders, and the base-10,000 digits of amounts."""
    found = {column: _buffer(batch[column], np.int64) - EPOCH for column in TIMES}
    cents = _buffer(batch["voucher_amount"], np.dtype((np.int64, 2)))[:, 0]  # the low 8 bytes; the others are 0
    digits = [cents // 10**10, cents // 10**6 % 10_000, cents // 100 % 10_000, cents % 100 * 100]
    return found | {
        "total_orders": _buffer(batch["total_orders"], np.int32),
        "voucher_amount": np.stack(digits, axis=1),
    }


def _buffer(column: pa.Array, kind: "np.typing.DTypeLike") -> NDArray[np.int64]:
    kind = np.dtype(kind)
    return np.frombuffer(column.buffers()[1], kind, count=len(column), offset=column.offset * kind.itemsize)


def _row(part_id: int, loaded_by: bytes, country: bytes, nulls: set[str]) -> NDArray[np.void]:
    """Return a table of one row, complete except for the columns of `_values`."""
    kinds: dict[str, object] = {"part_id": ">i8", "loaded_by": f"S{len(loaded_by)}", "timestamp": ">i8"}
    kinds |= {"country_code": f"S{len(country)}", "first_order_ts": ">i8", "last_order_ts": ">i8"}
    kinds |= {"total_orders": ">i4", "voucher_amount": NUMERIC}
    fields: list[tuple[str, object]] = [("columns", ">i2")]
    for column, kind in kinds.items():
        fields += [(f"{column} length", ">i4"), *([] if column in nulls else [(column, kind)])]
    row = np.zeros(1, np.dtype(fields))
    row["columns"] = len(kinds)
    for column, kind in kinds.items():
        row[f"{column} length"] = -1 if column in nulls else np.dtype(kind).itemsize  # type: ignore[call-overload]
    row["part_id"], row["loaded_by"], row["country_code"] = part_id, loaded_by, country
    if "voucher_amount" not in nulls:
        amount = row["voucher_amount"]
        amount["digits"], amount["weight"], amount["scale"] = NUMERIC["values"].shape[0], WEIGHT, SCALE
    return row
