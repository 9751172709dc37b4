"""The rows behind a rule, read again from one part: as many as the counts say, as they stand in the file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate import engine
from pipeline.evaluate.dropped import dropped_rows
from pipeline.evaluate.engine import DuckDB, EngineError
from pipeline.evaluate.totals import aggregate
from pipeline.rules.columns import ALL
from pipeline.rules.rulebook import Rule, RuleBook, RuleError
from pipeline.rules.segments import SegmentBook
from shared.countries import country_key
from tests.pipeline.conftest import ROW, history

RULES = RuleBook(
    (
        Rule("few_orders", "total_orders < 5", "A test.", (0, 1)),
        Rule("few_in_peru", "total_orders < 7 AND country_code = 'Peru'", "A test.", (0, 1)),
    ),
    (0.0, 1.0),
)
HISTORY = history(
    {"total_orders": "3"},
    {"total_orders": " 6.0 "},
    {"total_orders": "6", "country_code": " PERU"},
    {"total_orders": "6", "country_code": "Latvia"},
    {"total_orders": "4", "country_code": "Latvia"},
    {"total_orders": "many", "country_code": "Latvia", "timestamp": "yesterday"},
    {"country_code": "  "},
    {"country_code": None, "total_orders": "1"},
    {"country_code": "Pe\x01ru"},
    {},
)


def found(part: Any, duckdb: DuckDB, rule: str, **options: Any) -> list[dict[str, Any]]:
    return [row for batch in dropped_rows(part, RULES, rule, within=duckdb, **options) for row in batch.to_pylist()]


def orders(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["total_orders"] for row in rows)


def test_dropped_and_matched_differ_where_rules_overlap(duckdb: DuckDB) -> None:
    """A row that two rules match was dropped by the first; with `matched` both rules have it."""
    assert orders(found(HISTORY, duckdb, "few_orders")) == ["3", "4"]
    assert orders(found(HISTORY, duckdb, "few_in_peru")) == [" 6.0 ", "6"]
    assert orders(found(HISTORY, duckdb, "few_in_peru", matched=True)) == [" 6.0 ", "3", "6"]


def test_rows_are_as_they_stand_in_the_file(duckdb: DuckDB) -> None:
    """Texts are not trimmed or typed, and a column that the part lacks is NULL."""
    rows = {row["country_code"]: row for row in found(HISTORY, duckdb, "few_in_peru")}
    given = ROW | {"country_code": " PERU", "total_orders": "6", "voucher_amount": str(ROW["voucher_amount"])}
    assert rows[" PERU"] == dict.fromkeys(ALL) | given


def test_a_country_means_all_its_spellings(duckdb: DuckDB) -> None:
    """Any spelling of a country selects the rows of all of them; a country that the part lacks selects none."""
    assert orders(found(HISTORY, duckdb, "few_in_peru", country="pErU ")) == [" 6.0 ", "6"]
    assert orders(found(HISTORY, duckdb, "few_orders", country="latvia")) == ["4"]
    assert found(HISTORY, duckdb, "few_orders", country="Chile") == []


def test_rows_that_cannot_be_read(duckdb: DuckDB) -> None:
    """Built-in reasons have rows too; '' selects those whose country is missing or unreadable."""
    assert orders(found(HISTORY, duckdb, "unreadable_timestamp")) == ["many"]
    assert found(HISTORY, duckdb, "unreadable_total_orders") == []
    assert len(found(HISTORY, duckdb, "unreadable_total_orders", matched=True)) == 1
    assert [row["country_code"] for row in found(HISTORY, duckdb, "unreadable_country_code")] == ["Pe\x01ru"]
    assert len(found(HISTORY, duckdb, "missing_country_code", country="")) == 2
    assert len(found(HISTORY, duckdb, "missing_country_code", country="Peru")) == 0


@pytest.mark.parametrize("matched", [False, True])
def test_as_many_rows_as_the_counts(duckdb: DuckDB, tmp_path: Path, matched: bool) -> None:
    """For each rule and country of a file, there are as many rows as the published counts have."""
    path, segments = tmp_path / "part.parquet", SegmentBook.load()
    pq.write_table(HISTORY, path)
    with engine.evaluate(path, RULES, segments, within=duckdb) as part:
        counted = aggregate([part.tally()], RULES, segments).tables["rule_outcome"].to_pylist()
    assert {country_key(line["country_code"]) for line in counted} == {"", "peru", "latvia"}
    for line in counted:
        rows = found(path, duckdb, line["rule"], country=line["country_code"], matched=matched)
        assert len(rows) == line["matched" if matched else "dropped"], line


def test_an_unknown_rule_names_the_nearest(duckdb: DuckDB) -> None:
    """A misspelt rule is an error with the nearest name; a strange one lists all names."""
    with pytest.raises(RuleError, match=r"there is no rule 'few_order'; did you mean few_orders\?"):
        found(HISTORY, duckdb, "few_order")
    with pytest.raises(RuleError, match="the rules are unreadable_timestamp, "):
        found(HISTORY, duckdb, "?")


def test_a_part_that_breaks_is_named(duckdb: DuckDB, tmp_path: Path) -> None:
    """A part without a column, or whose pages are damaged, is an EngineError with its name."""
    with pytest.raises(EngineError, match="the table: column total_orders is missing"):
        found(HISTORY.drop_columns(["total_orders"]), duckdb, "few_orders")
    path = tmp_path / "part.parquet"
    pq.write_table(pa.concat_tables([HISTORY] * 1000), path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:4000] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"s3://b/k can't be read: .*; replace the file"):
        found(path, duckdb, "few_orders", name="s3://b/k")
