"""The synthetic sample says what was published about the data, and has its shapes."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dev.sample import main, sample
from tests import figures


@pytest.fixture(scope="module")
def history() -> pa.Table:
    return sample()


@pytest.fixture(scope="module")
def measured(history: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    file = tmp_path_factory.mktemp("sample") / "data.parquet.gzip"
    pq.write_table(history, file, compression="gzip")
    return figures.measure(file)


def test_every_published_figure_is_reproduced(measured: dict[str, float]) -> None:
    """The sample has exactly the published figures."""
    published = figures.flat(json.loads(figures.PUBLISHED.read_text()))

    differing = {name: (n, measured.get(name)) for name, n in published.items() if measured.get(name) != n}

    assert not differing, f"(published, measured): {differing}; see `python -m tests.figures FILE`"


def test_another_seed_keeps_the_figures_and_changes_the_rows(
    history: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures hold whatever the seed, the rows do not."""
    file = tmp_path / "other.parquet.gzip"
    monkeypatch.setattr("sys.argv", ["sample", str(file), "--seed", "7"])

    main()

    assert capsys.readouterr().out == f"511,427 rows written to {file}\n"
    assert not pq.read_table(file).equals(history)
    monkeypatch.setattr("sys.argv", ["figures", str(file)])
    with pytest.raises(SystemExit) as left:
        figures.main()
    assert left.value.code == 0, capsys.readouterr().out


def test_the_same_seed_gives_the_same_rows(history: pa.Table) -> None:
    """Two samples of one seed are equal."""
    assert sample().equals(history)


def test_columns_have_the_later_editions_types(history: pa.Table) -> None:
    """Times are text but for the first order, orders are text, amounts are numbers."""
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


def test_only_the_amount_is_ever_null(history: pa.Table) -> None:
    """No column but voucher_amount has nulls, and no amount is NaN."""
    assert [name for name in history.column_names if history[name].null_count] == ["voucher_amount"]
    assert not pc.any(pc.is_nan(history["voucher_amount"])).as_py()


def test_amounts_are_missing_in_bursts(history: pa.Table) -> None:
    """Rows without an amount stand in runs, far fewer than there are such rows."""
    null = pc.is_null(history["voucher_amount"]).to_numpy()

    runs = int((null[1:] & ~null[:-1]).sum()) + int(null[0])

    assert runs < null.sum() / 10


def test_the_most_used_amount_differs_between_segments(history: pa.Table) -> None:
    """Outside Peru, a wrong segment would be seen in the answer."""
    frame = history.to_pandas()
    kept = frame[frame["voucher_amount"].notna() & ~frame["total_orders"].isin(["", "0.0", "1.0"])]
    many = kept["total_orders"].astype(float) >= 38

    by_country = kept.groupby(["country_code", many.rename("many")])["voucher_amount"]
    most_used = by_country.agg(lambda amounts: amounts.mode()[0]).unstack()

    assert most_used.loc["Peru"].tolist() == [2640, 2640]
    assert (most_used[False] != most_used[True]).drop("Peru").all(), most_used
