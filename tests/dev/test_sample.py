"""The synthetic sample has the published figures of the data, and its formats."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import SAMPLE_MARK
from pipeline.evaluate.engine import evaluate, open_duckdb
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from sample.__main__ import main
from sample.cells import SIZE
from sample.history import sample
from sample.parts import EDITIONS, GROUP_ROWS, edition, write_parts
from tests import figures


@pytest.fixture(scope="module")
def history(sample_file: Path) -> pa.Table:
    return pq.read_table(sample_file)


def test_every_published_figure_is_reproduced(sample_file: Path) -> None:
    """The sample has exactly the published figures."""
    measured = figures.measure(sample_file)
    published = figures.flat(json.loads(figures.PUBLISHED.read_text()))

    differing = {name: (n, measured.get(name)) for name, n in published.items() if measured.get(name) != n}

    assert not differing, f"(published, measured): {differing}; see `python -m tests.figures FILE`"


@pytest.mark.long
def test_another_seed_keeps_the_figures_and_changes_the_rows(
    history: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another seed gives the same figures and other rows."""
    file = tmp_path / "other.parquet.gzip"
    monkeypatch.setattr("sys.argv", ["sample", str(file), "--seed", "7"])

    main()

    assert capsys.readouterr().out == f"511,427 rows written to {file}\n"
    assert not pq.read_table(file).equals(history)
    monkeypatch.setattr("sys.argv", ["figures", str(file)])
    with pytest.raises(SystemExit) as left:
        figures.main()
    assert left.value.code == 0, capsys.readouterr().out


def test_columns_have_the_later_editions_types(history: pa.Table) -> None:
    """The first order is a timestamp; other times and the number of orders are text; amounts are numbers."""
    assert dict(zip(history.schema.names, map(str, history.schema.types), strict=True)) == {
        "timestamp": "string",
        "country_code": "string",
        "last_order_ts": "string",
        "first_order_ts": "timestamp[ns, tz=UTC]",
        "total_orders": "string",
        "voucher_amount": "double",
    }


@pytest.mark.parametrize(
    ("column", "shape"),
    [
        ("timestamp", r"^(2020-0[2-5]|2016-12|2017-0[1-3])-\d\d 1[5-9]:\d\d:\d\d\.\d{6}\+00:00$"),
        ("country_code", r"^(Peru|China|Australia|Latvia)$"),
        ("last_order_ts", r"^20(19|20)-\d\d-\d\d 00:00:00\+00:00$"),
        ("total_orders", r"^(\d{1,3}\.0)?$"),
    ],
)
def test_texts_have_the_described_shape(history: pa.Table, column: str, shape: str) -> None:
    """Every text of a column matches the shape that the data's description gives."""
    wrong = [text for text in pc.unique(history[column]).to_pylist() if not re.fullmatch(shape, text)]

    assert not wrong, f"{len(wrong)} in {column}, such as {wrong[:3]}"


def test_amounts_are_missing_in_bursts(history: pa.Table) -> None:
    """Rows without an amount occur in bursts, of more than ten rows on average."""
    null = pc.is_null(history["voucher_amount"]).to_numpy()

    runs = int((null[1:] & ~null[:-1]).sum()) + int(null[0])

    assert runs < null.sum() / 10


def test_the_most_used_amount_differs_between_segments(history: pa.Table) -> None:
    """Outside Peru, the most used amount depends on the segment, so that an answer reveals a wrong segment."""
    frame = history.to_pandas()
    kept = frame[frame["voucher_amount"].notna() & ~frame["total_orders"].isin(["", "0.0", "1.0"])]
    many = kept["total_orders"].astype(float) >= 38

    by_country = kept.groupby(["country_code", many.rename("many")])["voucher_amount"]
    most_used = by_country.agg(lambda amounts: amounts.mode()[0]).unstack()

    assert most_used.loc["Peru"].tolist() == [2640, 2640]
    assert (most_used[False] != most_used[True]).drop("Peru").all(), most_used


@pytest.mark.long
def test_parts_hold_consecutive_samples(history: pa.Table, tmp_path: Path) -> None:
    """With several processes, too, the parts contain the rows of a sample and then of the next seed's, in order."""
    paths = write_parts(tmp_path / "parts", SIZE + 5_000, 3, processes=2)

    parts = [pq.ParquetFile(path) for path in paths]
    written = pa.concat_tables(part.read() for part in parts).replace_schema_metadata(None)
    assert written.equals(pa.concat_tables([history, sample(20210102).slice(0, 5_000)]))
    assert [path.name for path in paths] == [f"part-0000{number}.parquet" for number in range(3)]
    assert [part.metadata.num_rows for part in parts] == [172_143, 172_142, 172_142]
    for part in parts:
        groups = [part.metadata.row_group(number) for number in range(part.num_row_groups)]
        assert max(group.num_rows for group in groups) == GROUP_ROWS
        assert {group.column(0).compression for group in groups} == {"ZSTD"}
        assert SAMPLE_MARK in part.metadata.metadata.items()


@pytest.mark.long
@pytest.mark.usefixtures("history")
def test_a_folder_of_mixed_editions_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parts alternate in their column types, and a second call refuses to write to the same folder."""
    folder = tmp_path / "parts"
    monkeypatch.setattr("sys.argv", ["sample", str(folder), "--rows", "1000", "--parts", "5", "--mixed-editions"])

    main()

    assert capsys.readouterr().out == f"1,000 rows written to {folder}, in parts: 5\n"
    schemas = [pq.read_schema(path).remove_metadata() for path in sorted(folder.iterdir())]
    assert [schema == schemas[0] for schema in schemas] == [True, False, False, False, True]
    with pytest.raises(SystemExit):
        main()
    assert "is there already" in capsys.readouterr().err


def test_a_part_has_a_row_at_least(tmp_path: Path) -> None:
    """`write_parts` rejects more parts than rows, no rows, and no parts."""
    for rows, parts in ((3, 4), (0, None), (3, 0)):
        with pytest.raises(ValueError, match="don't make"):
            write_parts(tmp_path, rows, parts)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("earlier", {"timestamp": "string", "last_order_ts": "string", "first_order_ts": "timestamp[ms]"}),
        ("zoned", {"timestamp": "timestamp[us, tz=UTC]", "last_order_ts": "timestamp[us, tz=UTC]"}),
        ("indexed", {"index": "int64"}),
    ],
)
def test_editions_differ_in_types(history: pa.Table, name: str, types: dict[str, str]) -> None:
    """Each edition changes the types of some columns, or adds one, and leaves the others."""
    few = history.slice(0, 100)

    schema = edition(few, name).schema

    found = dict(zip(schema.names, map(str, schema.types), strict=True))
    assert found == dict(zip(few.schema.names, map(str, few.schema.types), strict=True)) | types


@pytest.mark.parametrize("name", EDITIONS)
def test_editions_mean_the_same(history: pa.Table, name: str) -> None:
    """The rules keep the same rows with the same values for each edition."""

    def kept(table: pa.Table) -> pa.Table:
        with (
            open_duckdb(in_order=True) as within,
            evaluate(table, RuleBook.load(), SegmentBook.load(), within=within) as found,
        ):
            return found.kept(placed=True).read_all()

    few = history.slice(0, 5_000)

    assert kept(edition(few, name)).equals(kept(few))
    assert 0 < kept(few).num_rows < 5_000
