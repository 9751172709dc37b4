"""How each type and text of a file is read, and which types are refused."""

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate import engine
from pipeline.evaluate.engine import DuckDB, EngineError
from pipeline.rules.columns import COLUMNS
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.workbench import Workbench
from shared.countries import BLANK
from tests.pipeline.conftest import history

NONE, SEGMENTS = RuleBook(()), SegmentBook.load()
UTC = dt.UTC
NOON = dt.datetime(2018, 7, 21, 12, tzinfo=UTC)
TIMES = ("timestamp", "first_order_ts", "last_order_ts")

Written = Callable[..., Path]
Read = Callable[[Path | pa.Table, str], tuple[Any, str | None]]


@pytest.fixture
def read(duckdb: DuckDB) -> Read:
    """Return a function that reads the only row: it returns the value of a column, and the reason to drop the row."""

    def read(part: Path | pa.Table, column: str) -> tuple[Any, str | None]:
        with engine.evaluate(part, NONE, SEGMENTS, within=duckdb) as evaluated:
            kept = evaluated.kept().read_all().to_pylist()
            [counted] = evaluated.tally().to_pylist()
        [row] = kept or [counted["dropped_row"]]
        return row[column], next((name for name, bit in NONE.bits.items() if counted["matched"] & bit), None)

    return read


def file(written: Written, column: str, value: Any, type_: pa.DataType | None = None, **options: Any) -> Path:
    """Write a file of one row whose column has this value and type, and return its path."""
    array = value if isinstance(value, pa.Array) else pa.array([value], type_)
    table = history({})
    path = written(table)
    pq.write_table(table.set_column(table.column_names.index(column), column, array), path, **options)
    return path


def raw(value: int, unit: str, zone: str | None = None) -> pa.Array:
    return pa.array([value], pa.int64()).cast(pa.timestamp(unit, zone))


COTE = "Côte d'Ivoire"
VALUES: list[tuple[str, Any, pa.DataType | None, Any]] = [
    ("country_code", COTE, pa.large_string(), COTE),
    ("country_code", COTE, pa.string_view(), COTE),
    ("country_code", COTE, pa.dictionary(pa.int8(), pa.string()), COTE),
    ("country_code", COTE.encode(), pa.binary(), COTE),
    ("country_code", COTE.encode(), pa.large_binary(), COTE),
    ("country_code", b"Peru", pa.binary(4), "Peru"),
    ("country_code", 604, pa.int16(), "604"),
    ("country_code", " Peru ", None, "Peru"),
    ("country_code", "nan", None, "nan"),
    *(("total_orders", text, None, 12) for text in ("12.0", "12", " 12.0 ")),
    *(("total_orders", blank, None, None) for blank in ("", " \t\n", "nan", "NaN", float("nan"))),
    ("total_orders", None, pa.string(), None),
    ("total_orders", "2147483647", None, 2147483647),
    ("total_orders", Decimal("12.00"), pa.decimal128(6, 2), 12),
    ("total_orders", 12, pa.int8(), 12),
    ("total_orders", 12, pa.uint64(), 12),
    ("total_orders", 12.0, pa.float32(), 12),
    ("total_orders", -0.0, pa.float64(), 0),
    ("total_orders", Decimal(12), pa.decimal128(38, 0), 12),
    ("total_orders", b" 12.0 ", pa.binary(), 12),
    ("total_orders", "12", pa.dictionary(pa.int32(), pa.string()), 12),
    *(("voucher_amount", amount, None, Decimal(str(amount))) for amount in (2640.0, 2640, 0.0, 9999999999.99)),
    *(("voucher_amount", text, None, Decimal("2640.5")) for text in ("2640.50", "2640.5000")),
    *(("voucher_amount", nothing, pa.float64(), None) for nothing in (None, float("nan"))),
    ("voucher_amount", Decimal("0.01"), pa.decimal128(12, 2), Decimal("0.01")),
    ("voucher_amount", 26.4, pa.float32(), Decimal("26.4")),
    ("voucher_amount", np.float16(26.5), pa.float16(), Decimal("26.5")),
    ("voucher_amount", -0.0, pa.float64(), Decimal(0)),
    ("voucher_amount", Decimal("26.40000"), pa.decimal128(38, 5), Decimal("26.4")),
    ("voucher_amount", Decimal("26.4"), pa.decimal256(50, 2), Decimal("26.4")),
    ("voucher_amount", Decimal("26.4"), pa.decimal32(5, 1), Decimal("26.4")),
    ("voucher_amount", 200, pa.uint8(), Decimal(200)),
    ("voucher_amount", b"26.40", pa.binary(), Decimal("26.4")),
    *(("last_order_ts", text, None, NOON)
      for text in ("2018-07-21 12:00", "2018-07-21T12:00:00Z", "2018-07-21 07:00:00-05:00", "2018-07-21 12:00:00.000000")),
    ("last_order_ts", "2018-07-21", None, NOON.replace(hour=0)),
    ("last_order_ts", "", None, None),
    ("last_order_ts", dt.date(2018, 7, 21), pa.date32(), NOON.replace(hour=0)),
    ("last_order_ts", dt.date(2018, 7, 21), pa.date64(), NOON.replace(hour=0)),
    *(("last_order_ts", NOON.replace(tzinfo=None), pa.timestamp(unit), NOON) for unit in ("s", "ms", "us", "ns")),
    *(("last_order_ts", NOON, pa.timestamp(unit, "Asia/Kolkata"), NOON) for unit in ("s", "ms", "us", "ns")),
    ("last_order_ts", NOON, pa.timestamp("us", "-11:30"), NOON),
    ("last_order_ts", b"2018-07-21T12:00:00Z", pa.binary(), NOON),
    *(("last_order_ts", None, type_, None) for type_ in (pa.null(), pa.float64(), pa.timestamp("ns"))),
    ("last_order_ts", float("nan"), pa.float64(), None),
]  # fmt: skip
UNREADABLE = {
    "total_orders": ("12.5", "1e3", "-1", "-0.5", "many", "1,000", "2147483648", "0x1F", "1 2", "Infinity", "²"),
    "voucher_amount": (-2640.0, float("inf"), float("-inf"), 1e10, 1e30, 0.001, 2640.005),
    "timestamp": ("yesterday", "infinity", "epoch", "20180721", "21.07.2018", "2018-07-21 25:00:00"),
}


@pytest.mark.parametrize(("column", "value", "type_", "expected"), VALUES, ids=str)
def test_values_are_what_their_writer_meant(
    read: Read, written: Written, column: str, value: Any, type_: pa.DataType, expected: Any
) -> None:
    """Text, bytes, numbers and times of any width, scale, unit and zone are read as the value that was written."""
    assert read(file(written, column, value, type_), column) == (expected, None)


@pytest.mark.parametrize(("column", "values"), UNREADABLE.items(), ids=UNREADABLE)
def test_what_cannot_be_read_is_named(read: Read, column: str, values: tuple[object, ...]) -> None:
    """Negative, oversized, too precise and oddly written values are named as unreadable, never NULL or rounded."""
    for value in values:
        assert read(history({column: value}), column) == (None, f"unreadable_{column}"), value


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_missing_country_is_a_reason_of_its_own(read: Read, written: Written, blank: str | None) -> None:
    """A blank country is dropped as `missing_country_code`."""
    path = file(written, "country_code", blank, pa.string())
    assert read(path, "country_code") == (None, "missing_country_code")


def test_impala_and_spark_times_are_read(read: Read, written: Written) -> None:
    """INT96, the time type of older writers, is read as the time that was written."""
    path = file(written, "timestamp", NOON, pa.timestamp("ns"), use_deprecated_int96_timestamps=True)
    assert read(path, "timestamp") == (NOON, None)


@pytest.mark.parametrize(
    ("value", "type_", "kind"),
    [
        ([COTE], pa.list_(pa.string()), r"VARCHAR\[\]"),
        ({"name": COTE}, pa.struct({"name": pa.string()}), r"STRUCT\(\"?name\"? VARCHAR\)"),
        ([("name", "Peru")], pa.map_(pa.string(), pa.string()), r"MAP\(VARCHAR, VARCHAR\)"),
        (True, pa.bool_(), "BOOLEAN"),
        (dt.time(12), pa.time64("us"), "TIME"),
        (b"\1" * 16, pa.uuid(), "UUID"),
        ('"Peru"', pa.json_(), "JSON"),
    ],
    ids=str,
)
def test_types_that_hold_no_value_are_refused(
    read: Read, written: Written, value: Any, type_: pa.DataType, kind: str
) -> None:
    """The error for a nested, boolean, time-of-day, UUID or JSON column names the column and its type."""
    for column in COLUMNS:
        with pytest.raises(EngineError, match=rf"history.parquet: column {column} has the type {kind}, of which no "):
            read(file(written, column, value, type_), column)


@pytest.mark.parametrize(
    ("value", "type_"), [(604.0, pa.float64()), (Decimal(604), pa.decimal128(3, 0)), (NOON, pa.timestamp("us"))]
)
def test_a_country_is_text(read: Read, written: Written, value: Any, type_: pa.DataType) -> None:
    """A float, decimal or timestamp is refused as a country: it would be written with a point or as a time."""
    with pytest.raises(EngineError, match=r"column country_code has the type .* no country can be read\. Write it as"):
        read(file(written, "country_code", value, type_), "country_code")


@pytest.mark.parametrize("column", COLUMNS)
def test_bytes_of_another_encoding_are_unreadable(read: Read, written: Written, column: str) -> None:
    """Bytes that are not UTF-8 are named as unreadable, and are not converted to text."""
    for latin in (b"C\xf4te", b"\xff12", "Peru".encode("utf-16")):
        assert read(file(written, column, latin, pa.binary()), column) == (None, f"unreadable_{column}")


def test_editions_of_different_types_are_read_alike(written: Written) -> None:
    """The workbench reads bytes of one edition and text of another as the same country."""
    path = file(written, "country_code", COTE.encode(), pa.binary())
    path.rename(path.with_name("older.parquet"))
    written(history({"country_code": COTE}))
    assert list(Workbench.open(f"{path.parent}/").typed["country_code"]) == [COTE, COTE]


FAR = [
    raw(253_402_300_800, "s"),  # year 10000
    raw(253_402_300_800_000, "ms", "UTC"),
    raw(-62_135_596_801, "s"),  # one second before year 1
    *(raw(value, "us", zone) for value in (2**63 - 1, 2 - 2**63, -(2**63)) for zone in (None, "UTC")),
    raw(2**63 - 1, "ns"),
    raw(2**62, "us"),
]


@pytest.mark.parametrize("value", FAR, ids=str)
@pytest.mark.parametrize("column", TIMES)
def test_times_beyond_the_calendar_are_unreadable(read: Read, written: Written, column: str, value: pa.Array) -> None:
    """A time before year 1, after 9999 or infinite is named as unreadable, and other parts are still read."""
    assert read(file(written, column, value), column) == (None, f"unreadable_{column}")
    assert read(history({column: "2018-07-21 12:00:00"}), column) == (NOON, None)


@pytest.mark.parametrize(
    "zone", ["", "Z", "UTC", "+00", "+0000", "+00:00", "+14", "-12:00", "+0545", "-15:59", "+15:59"]
)
@pytest.mark.parametrize("between", ["", " "])
@pytest.mark.parametrize("time", ["12:00", "12:00:00", "12:00:00.0", "12:00:00.000000"])
def test_zones(duckdb: DuckDB, time: str, between: str, zone: str) -> None:
    """A zone is read the same with and without a space before it, in each of the three time columns."""
    sign, digits = zone[:1], zone[1:].replace(":", "").ljust(4, "0") if zone[:1] in {"+", "-"} else "0000"
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if sign == "-" else 1)
    row = dict.fromkeys(TIMES, f"2018-07-21 {time}{between if zone else ''}{zone}")
    with engine.evaluate(history(row), NONE, SEGMENTS, within=duckdb) as part:
        [found] = part.kept().read_all().to_pylist()
    assert {found[column] for column in TIMES} == {NOON - offset}


@pytest.mark.parametrize(
    "text",
    [
        *("2018-07-21 18:59:21+99:99", "2018-07-21 18:59:21+16:00", "2018-07-21 18:59:21-16", "2018-07-21 12:00+24:00"),
        *("2018-07-21 18:59:21+05:60", "2018-07-21 18:59:21 +0599", "2018-07-21 18:59:21+5", "2018-07-21 18:59:21 EST"),
        *("9999-12-31 23:59:59-05:00", "9999-12-31 12:00 -1200", "10000-01-01", "0000-01-01", "-2018-07-21"),
        *("2018-02-30 00:00:00.000000", "2019-02-29", "2018-07-21 18:59:60", "2018-07-21 24:30:00", "2018-07-21Z"),
        *("None", "null", "<NA>", "NAT", "nan nan", "2018-07-21\u00a018:59:21"),
    ],
)
def test_times_that_no_clock_shows_are_unreadable(read: Read, text: str) -> None:
    """Impossible offsets, dates and hours, and years beyond 9999 in UTC, are unreadable in each time column."""
    for column in TIMES:
        assert read(history({column: text}), column) == (None, f"unreadable_{column}")


def test_the_last_moment_is_read(read: Read) -> None:
    """The last readable time is the end of year 9999 in UTC, in any zone."""
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
    for text in ("9999-12-31 23:59:59.999999", "9999-12-31 18:59:59.999999-05:00", "9999-12-31T23:59:59.999999999Z"):
        for column in TIMES:
            assert read(history({column: text}), column) == (last, None)


@pytest.mark.parametrize("white", ["\u00a0", "\u3000\t", "\u2028", "\x85\x1c", "\u200b", "\ufeff", "\u200f\u2060"])
def test_white_space_around_values(white: str) -> None:
    """White space and invisible characters around a value are ignored; alone, they are blank, as is NaT of pandas."""
    row: dict[str, Any] = {"timestamp": "2018-07-21 12:00", "country_code": "Peru", "first_order_ts": "2018-07-21"}
    row |= {"last_order_ts": "NaT", "total_orders": "12.0", "voucher_amount": "26.40"}
    around, alone = {name: f"{white}{value}{white}" for name, value in row.items()}, dict.fromkeys(row, white)
    rows = history(around, row, alone | {"country_code": "Peru"}, alone)
    opened = engine.open_duckdb(in_order=True)
    with opened as within, engine.evaluate(rows, NONE, SEGMENTS, within=within) as part:
        first, second, third = part.kept().read_all().to_pylist()
        dropped = [row for row in part.tally().to_pylist() if row["matched"]]
    assert first == second
    assert third == dict.fromkeys(COLUMNS) | {"country_code": "Peru"}
    assert [row["matched"] for row in dropped] == [NONE.bits["missing_country_code"]]


def test_every_blank_character_is_blank_in_sql(duckdb: DuckDB) -> None:
    """DuckDB's expressions treat the same characters as blank as Python does."""
    blanks = re.findall(f"[{BLANK}]", "".join(map(chr, range(0x110000))))
    rows = history(*({"total_orders": char} for char in blanks))
    with engine.evaluate(rows, NONE, SEGMENTS, within=duckdb) as part:
        assert part.kept().read_all()["total_orders"].null_count == len(blanks) > 4000


def test_control_characters_make_a_country_unreadable(duckdb: DuckDB) -> None:
    """A country with a control character, such as NUL, bell or escape, is named as unreadable."""
    texts = [text for char in "\0\a\x1b\x7f\x9c" for text in (f"Pe{char}ru", f"Peru{char}", char)]
    rows = history(*({"country_code": text} for text in texts))
    with engine.evaluate(rows, NONE, SEGMENTS, within=duckdb) as part:
        [counted] = part.tally().to_pylist()
    reasons = NONE.bits["unreadable_country_code"] | NONE.bits["missing_country_code"]
    assert (counted["country_code"], counted["matched"], counted["rows"]) == (None, reasons, len(texts))
