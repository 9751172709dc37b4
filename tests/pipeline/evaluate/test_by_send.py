"""Means of any rows by send: for shares, those of the published answers."""

import pandas as pd
import pytest

from pipeline.evaluate.by_send import mean_by_send
from pipeline.rules.rulebook import RuleBook
from pipeline.workbench import Workbench
from tests.pipeline.conftest import history

COUNTRY, KIND = "country_code", "frequent_segment"


def test_it_is_the_interval_of_the_answers() -> None:
    """The share of rows with the winner's amount has the interval that the answer has, in every group."""
    rows = [
        {"timestamp": f"2020-05-{day:02} 12:00:00", "voucher_amount": amount, "total_orders": "7", COUNTRY: country}
        for day in range(1, 16)
        for country, amount in [("Peru", 2640), *[("Peru", 3520)] * (day % 3), ("Chile", 990), ("Chile", 880 + day % 2)]
    ]
    bench = Workbench(history(*rows))
    answers = bench.answers(RuleBook(())).query("rows > 0").xs(KIND, level="segment_name")
    placed = bench.typed.assign(segment="5-13")
    winner = placed.set_index([COUNTRY, "segment"]).index.map(answers["voucher_amount"])

    found = mean_by_send(placed.assign(hit=placed["voucher_amount"] == winner), [COUNTRY, "segment"], "hit")

    expected = answers.assign(share=answers["uses"] / answers["rows"])[["share", "share_low", "share_high", "sends"]]
    expected = expected.set_axis(["mean", "low", "high", "sends"], axis=1)
    found[["low", "high"]] = found[["low", "high"]].clip(0, 1)  # as the answers' intervals are
    pd.testing.assert_frame_equal(found[[*expected]].sort_index(), expected.sort_index(), check_dtype=False)


def test_few_sends_and_missing_times() -> None:
    """Below ten sends there is no interval; rows without a timestamp are one send; groups may have no hit."""
    days = pd.to_datetime([f"2020-05-{day:02}" for day in range(1, 10)], utc=True)
    few = pd.DataFrame({"timestamp": days, "group": "few", "hit": True})
    unknown = pd.DataFrame({"timestamp": pd.to_datetime([None] * 2, utc=True), "group": "few", "hit": False})
    ten = pd.concat([few, unknown]).assign(group="ten")
    found = mean_by_send(pd.concat([few, ten, ten.assign(group="never", hit=False)]), ["group"], "hit")
    assert found["sends"].to_dict() == {"few": 9, "ten": 10, "never": 10}
    assert found["mean"].to_dict() == pytest.approx({"few": 1, "ten": 9 / 11, "never": 0})
    assert pd.isna(found.loc["few", "low"])
    assert 0 < found.loc["ten", "low"] < 9 / 11 < found.loc["ten", "high"]
    assert (found.loc["never", "low"], found.loc["never", "high"]) == (0, 0)


def test_a_constant_has_an_interval_without_width() -> None:
    """A difference that is the same in every row is certain, also beyond 1."""
    days = pd.to_datetime([f"2020-05-{1 + place % 12:02}" for place in range(50)], utc=True)
    constant = mean_by_send(pd.DataFrame({"timestamp": days, "group": "a", "apart": 2.0}), ["group"], "apart").loc["a"]
    assert constant[["mean", "low", "high"]].tolist() == [2, 2, 2]
