"""The workbench, the analyst's tool: it counts as the pipeline does and shows what a rule would change."""

import warnings
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import SAMPLE_MARK, run
from pipeline.evaluate.totals import aggregate
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.settings import Settings
from pipeline.workbench import ALL, ANSWER, RuleWarning, Workbench, changed
from sample.parts import EDITIONS, edition
from tests.conftest import Bucket
from tests.pipeline.conftest import FREQUENT, history

ROWS = history(
    *[{}] * 3,
    {"total_orders": "1"},
    {"total_orders": None, "country_code": "peru"},
    {"total_orders": None, "voucher_amount": None, "country_code": "Latvia"},
    {"voucher_amount": 4400.0, "country_code": "Latvia"},
)


def shipped(bench: Workbench) -> pd.DataFrame:
    """Add all shipped rules in order, and return the table of `explain`."""
    for rule in RuleBook.load().rules:
        with warnings.catch_warnings(action="ignore", category=RuleWarning):  # few rows, so shares are odd
            bench.add(rule.name, str(rule.drop_when), rule.because, rule.share)
    return bench.explain()


def test_it_counts_what_a_run_counts(
    sample_file: Path,
    tmp_path: Path,
    settings: Callable[..., Settings],
    query: Callable[..., list[tuple[object, ...]]],
) -> None:
    """Matched, dropped and kept rows and the answers are those of the published tables, by rule and country."""
    path = tmp_path / "every_20th.parquet"
    pq.write_table(pq.read_table(sample_file)[::20], path)
    bench = Workbench.open(str(path))
    explained = shipped(bench)
    run.run(settings(path), "test")
    published = query("SELECT rule, country_code, matched, dropped FROM voucher.rule_outcome WHERE matched > 0")
    lines = explained.drop(ALL, level="country_code").reset_index()
    lines = lines[lines["matched"] > 0]
    assert sorted(published) == sorted(
        map(tuple, lines[["rule", "country_code", "matched", "dropped"]].to_numpy().tolist())
    )
    assert query("SELECT rows_kept FROM voucher.run") == [(explained["left"].xs(ALL, level="country_code").iloc[-1],)]
    answers = query("SELECT country_code, segment_name, segment, voucher_amount::float8, uses FROM voucher.segment")
    assert sorted(answers) == sorted(
        (*index, row.voucher_amount, row.uses)
        for index, row in zip(bench.answers(bench.rules).index, bench.answers(bench.rules).itertuples(), strict=True)
    )


def test_explain_says_what_is_left_by_country() -> None:
    """Each line gives the rows that a rule matches, drops and leaves; spellings of a country count as one country."""
    explained = shipped(Workbench(ROWS))
    assert explained.loc[("missing_total_orders", "Peru")].tolist() == [1, 1, 4, 0.2]
    assert explained.loc[("missing_voucher_amount", "Latvia")].tolist() == [1, 0, 1, 0.5]
    assert explained.loc[("one_order_with_two_dates", ALL)].tolist() == [1, 1, 4, 1 / 7]


def test_parts_of_two_editions_are_one_history(tmp_path: Path, sample_file: Path) -> None:
    """A folder of parts with different column types gives the same counts as one table with the same rows."""
    rows = pq.read_table(sample_file).slice(0, 500)
    for number, which in enumerate(EDITIONS):
        pq.write_table(edition(rows, which), tmp_path / f"{number}.parquet")
    bench, one = Workbench.open(str(tmp_path)), Workbench(pa.concat_tables([rows] * len(EDITIONS)))
    for each in (bench, one):
        shipped(each)
    pd.testing.assert_frame_equal(bench.explain(), one.explain())


TIMES = pa.array([f"2020-05-{day:02} 18:00:00+00:00" for day in range(1, 13)] * 20)
OTHER_TIMES = TIMES.cast(pa.timestamp("us", "UTC"))
GOT = [place % 3 == 0 for place in range(len(TIMES))]
SIX = history(*[{"voucher_amount": 100.0 * (place // 120)} for place in range(len(TIMES))]).set_column(
    0, "timestamp", TIMES
)
# Rows that mean the same, or have no outcome, in columns of several types.
PARTS = {
    "none": SIX,
    "typed": SIX.append_column("redeemed", pa.array(GOT)).append_column("propensity", pa.array([0.5] * len(GOT))),
    "texts": SIX.append_column("redeemed", pa.array([str(got).lower() for got in GOT]))
    .append_column("propensity", pa.array(["0.5"] * len(GOT)))
    .append_column("cluster", pa.array([f"village {place % 11}" for place in range(len(GOT))])),
    "numbers": SIX.append_column("redeemed", pa.array([int(got) for got in GOT])),
    "unknown": SIX.append_column("redeemed", pa.nulls(len(GOT))).append_column("cluster", pa.nulls(len(GOT))),
    "other times": SIX.set_column(0, "timestamp", OTHER_TIMES),
    "other times, typed": SIX.set_column(0, "timestamp", OTHER_TIMES).append_column("redeemed", pa.array(GOT)),
    "a note": SIX.append_column("note", pa.array(range(len(GOT)))),
    "another note": SIX.append_column("note", pa.array(["text"] * len(GOT))),
}


PAIRS = [
    pytest.param(*pair, marks=() if pair in [*pairwise(PARTS)] else pytest.mark.long) for pair in combinations(PARTS, 2)
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_parts_keep_their_outcomes(tmp_path: Path, one: str, other: str) -> None:
    """Two parts have the outcomes that a run counts in them, whatever their columns' types, and also if one has none.
    A part whose propensities are unknown makes an association of them all.
    """
    results = []
    for name in (one, other):
        pq.write_table(PARTS[name], tmp_path / f"{name}.parquet")
        results.append(Workbench(PARTS[name])._tally(RuleBook(())))
    run_counts = aggregate(results, RuleBook(()), SegmentBook.load()).tables["effect"].to_pandas()
    keys = [*ANSWER, "voucher_amount"]

    effects = Workbench.open(f"{tmp_path}/").effects(RuleBook(()))

    expected = run_counts.astype({"voucher_amount": float, "compared_with": float}).set_index(keys).sort_index()
    pd.testing.assert_frame_equal(effects, expected)
    outcomes = [name for name in (one, other) if "redeemed" in PARTS[name].column_names and name != "unknown"]
    assert effects["known"].tolist() == [120 * len(outcomes)] * (2 * len(SegmentBook.load().kinds) if outcomes else 0)
    assert set(effects["evidence"]) <= {"effect" if {*outcomes} <= {"typed", "texts"} else "association"}


def test_effects_and_policies_are_those_of_a_run(
    tmp_path: Path, settings: Callable[..., Settings], query: Callable[..., list[tuple[object, ...]]]
) -> None:
    """`effects` and `policies` have the lines and figures that a run publishes; a history without outcomes has none."""
    rules, path = RuleBook.load(), tmp_path / "history.parquet"
    pq.write_table(PARTS["typed"], path)
    bench = Workbench.open(str(path))
    run.run(settings(path), "test")
    effects, policies = bench.effects(rules).reset_index(), bench.policies(rules).reset_index()
    figures = "country_code, segment_name, segment, voucher_amount::float8, known, clusters, evidence, share, cost"
    assert sorted(query(f"SELECT {figures} FROM voucher.effect")) == sorted(
        effects[figures.replace("::float8", "").split(", ")].itertuples(index=False, name=None)
    )
    figures = "country_code, segment_name, policy, known, clusters, value, value_low, value_high, cost"
    assert sorted(query(f"SELECT {figures} FROM voucher.policy")) == sorted(
        policies[figures.split(", ")].itertuples(index=False, name=None)
    )
    assert set(policies["policy"]) == {"most used", "best by outcome", "uniform"}
    assert Workbench(SIX).effects(rules).empty
    assert Workbench(SIX).policies(rules).empty


def test_overlap_counts_rows_that_break_two_rules() -> None:
    """Off the diagonal, `overlap` counts the rows that match both rules."""
    bench = Workbench(ROWS)
    shipped(bench)
    overlap = bench.overlap()
    assert overlap.loc["missing_total_orders", "missing_total_orders"] == 2
    assert overlap.loc["missing_total_orders", "missing_voucher_amount"] == 1
    assert overlap.loc["one_order_with_two_dates", "missing_voucher_amount"] == 0


@pytest.mark.long
def test_frame_file_and_s3_are_the_same_history(bucket: Bucket, written: Callable[[pa.Table], Path]) -> None:
    """A pandas frame, a Parquet file and an S3 object give the same counts; typed rows keep the file's order."""
    path = written(ROWS)
    benches = [Workbench(ROWS.to_pandas()), Workbench.open(str(path)), Workbench.open(bucket.put("rows.parquet", path))]
    first, *others = [shipped(bench) for bench in benches]
    for other in others:
        pd.testing.assert_frame_equal(first, other)
    assert benches[0].typed["voucher_amount"].tolist()[-1] == 4400
    assert benches[0].placed["frequent_segment"].tolist() == 4 * [FREQUENT[1]]


def test_changed_lists_answers_that_appear_and_vanish() -> None:
    """`changed` lists the answers of a country that only one side has."""
    bench = Workbench(ROWS)
    everything, peru = bench.answers(RuleBook(())), Workbench(history({})).answers(RuleBook(()))
    assert set(changed(everything, peru).index.get_level_values("country_code")) == {"Latvia"}


@pytest.mark.parametrize(("marks", "sample"), [([True], True), ([True, True], True), ([True, False], False)])
def test_it_names_its_history(tmp_path: Path, marks: list[bool], sample: bool) -> None:
    """A history is named as the sample only if all its parts are the sample; any other is named by its address."""
    for place, mark in enumerate(marks):
        pq.write_table(
            ROWS.replace_schema_metadata(dict([SAMPLE_MARK]) if mark else None), tmp_path / f"{place}.parquet"
        )

    bench = Workbench.from_environment(lambda: ROWS, {"VOUCHER_SOURCE": f" {tmp_path}/ "})

    assert str(bench) == f"{'synthetic sample' if sample else f'{tmp_path}/'}, {7 * len(marks)} rows"


def test_without_a_source_it_is_the_sample() -> None:
    """If VOUCHER_SOURCE is unset or empty, the workbench opens the sample; a table passed in is named as such."""
    assert str(Workbench.from_environment(lambda: ROWS, {})) == "synthetic sample, 7 rows"
    assert str(Workbench.from_environment(lambda: ROWS, {"VOUCHER_SOURCE": ""})) == "synthetic sample, 7 rows"
    assert str(Workbench(ROWS)) == "a table in memory, 7 rows"


def test_the_share_of_unreadable_rows_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of unreadable rows that may be published stands in the file alone, and saving rules keeps it."""
    path = tmp_path / "rules.toml"
    RuleBook((), unreadable_share=(0.0, 0.05)).save(path)
    monkeypatch.setattr("pipeline.workbench.bench.RULES_FILE", path)
    bench = Workbench(ROWS)
    bench.add("few", "total_orders < 5", "It is only tried.", (0, 1))
    bench.save(path)
    assert RuleBook.load(path) == bench.rules
    assert bench.rules.unreadable_share == (0.0, 0.05)
