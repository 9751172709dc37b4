"""Simulated outcomes: a lottery whose probabilities and truth are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline import SAMPLE_MARK
from pipeline.rules.columns import OPTIONAL
from pipeline.rules.rulebook import RuleBook
from pipeline.workbench import SAMPLE, Workbench
from sample.__main__ import main
from sample.cells import SIZE
from sample.outcomes import LEAST_USED, OPEN, redemption_rate, with_outcomes


@pytest.fixture(scope="module")
def planned(sample_file: Path) -> pa.Table:
    return pq.read_table(sample_file)


@pytest.fixture(scope="module")
def drawn(planned: pa.Table) -> pa.Table:
    return with_outcomes(planned)


@pytest.fixture(scope="module")
def rows(drawn: pa.Table) -> pd.DataFrame:
    frame = drawn.to_pandas()
    return frame.assign(time=pd.to_datetime(frame["timestamp"], utc=True, format="ISO8601"))


def test_the_propensities_fit(planned: pa.Table, rows: pd.DataFrame) -> None:
    """Weighted by 1 / propensity, each amount that takes part stands for all of its country's vouchers, within four
    standard errors: so often it would have been drawn, had it been the only one.
    """
    known = rows.dropna(subset=["propensity"])
    assert known["propensity"].between(0, 1, inclusive="right").all()
    before = planned.to_pandas().loc[known.index]
    for country, here in known.groupby("country_code"):
        used = before.loc[here.index, "voucher_amount"].value_counts(normalize=True)
        for amount in used.index[used >= LEAST_USED]:
            weight = (here["voucher_amount"] == amount) / here["propensity"]
            assert abs(weight.mean() - 1) < 4 * weight.std() / np.sqrt(len(here)), (country, amount)


def test_the_truth_is_found(planned: pa.Table, rows: pd.DataFrame) -> None:
    """The weighted share redeemed is the true one, within two points, although the plan favours amounts by segment."""
    usual = pd.Series(planned.to_pandas().groupby("country_code")["voucher_amount"].median())
    known = rows.dropna(subset=["redeemed", "propensity"]).assign(weight=lambda found: 1 / found["propensity"])
    known["got"] = known["redeemed"].astype(float) * known["weight"]
    found = known.groupby(["country_code", "voucher_amount"])[["got", "weight"]].sum().query("weight > 50_000")
    amounts = found.index.to_frame()
    truth = redemption_rate(amounts["voucher_amount"], amounts["country_code"].map(usual))
    assert len(found) > 15
    assert ((found["got"] / found["weight"] - truth).abs() < 0.02).all()


def test_what_is_not_known(planned: pa.Table, rows: pd.DataFrame) -> None:
    """Outcomes of the last week are unknown, and of rows without an amount or a time; half keep the planned amount."""
    last = rows["time"].max() - OPEN
    assert rows.loc[rows["time"] > last, "redeemed"].isna().all()
    whole = rows["voucher_amount"].notna() & rows["time"].notna() & rows["country_code"].notna()
    assert rows.loc[whole & (rows["time"] <= last), "redeemed"].notna().all()
    assert rows.loc[whole, "propensity"].notna().all()
    assert rows.loc[~whole, ["redeemed", "propensity"]].isna().all().all()
    same = (planned.to_pandas()["voucher_amount"] == rows["voucher_amount"])[whole]
    assert 0.5 < same.mean() < 0.75


def test_the_other_columns_stay(planned: pa.Table, drawn: pa.Table) -> None:
    """Only the amount changes, and where it is missing it stays missing; two columns are added."""
    assert drawn.column_names == [*planned.column_names, *OPTIONAL[:2]]
    assert [*map(str, drawn.schema.types[-2:])] == ["bool", "double"]
    others = [name for name in planned.column_names if name != "voucher_amount"]
    assert drawn.select(others).equals(planned.select(others))
    assert pc.is_null(drawn["voucher_amount"]).equals(pc.is_null(planned["voucher_amount"]))


def test_the_same_seed_gives_the_same_table(planned: pa.Table, drawn: pa.Table) -> None:
    """A seed gives one table, another seed another; with a share of 0 the plan stays, and each amount is certain."""
    assert with_outcomes(planned).equals(drawn)
    assert not with_outcomes(planned, seed=1)["voucher_amount"].equals(drawn["voucher_amount"])
    certain = with_outcomes(planned, share=0)
    assert certain["voucher_amount"].equals(planned["voucher_amount"])
    assert pc.unique(certain["propensity"].drop_null()).to_pylist() == [1]


@pytest.mark.long
def test_the_command_writes_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m sample FILE --outcomes` writes one file, marked as the sample, in which the pipeline finds effects."""
    file = tmp_path / "outcomes.parquet"
    monkeypatch.setattr("sys.argv", ["sample", str(file), "--outcomes"])

    main()

    assert capsys.readouterr().out == f"{SIZE:,} rows with outcomes written to {file}\n"
    assert SAMPLE_MARK in pq.read_schema(file).metadata.items()
    bench = Workbench.open(str(file))
    assert str(bench) == f"{SAMPLE}, {SIZE:,} rows"
    assert set(bench.effects(RuleBook.load())["evidence"]) == {"effect"}
    monkeypatch.setattr("sys.argv", ["sample", str(tmp_path), "--outcomes", "--rows", "10"])
    with pytest.raises(SystemExit):
        main()
    assert "--outcomes writes one file" in capsys.readouterr().err
