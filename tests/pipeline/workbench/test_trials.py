"""Rules on trial: which rows and answers a candidate would cost, and what is wrong with a rule on this history."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.rules import conditions
from pipeline.rules.columns import COLUMNS
from pipeline.rules.rulebook import RuleBook, RuleError
from pipeline.workbench import ALL, RuleWarning, Workbench
from tests.pipeline.conftest import FREQUENT, history

FEW = {"voucher_amount": 3520.0, "total_orders": "5"}


def bench() -> Workbench:
    """Return seven rows: five of Peru, one with an unreadable number; two of Chile, one of which no rule keeps."""
    return Workbench(
        history(
            *[{}] * 3,
            *[FEW] * 2,
            {"country_code": "CHILE"},
            {"country_code": "Chile", "total_orders": None},
            {"total_orders": "many"},
        )
    )


def test_a_candidate_shows_the_rows_and_answers_it_would_change() -> None:
    """`try_rule` counts matched and newly dropped rows by country, lists changed answers, and does not add the rule."""
    tried = bench()
    found = tried.try_rule("total_orders > 5 OR country_code = 'chile'")
    rows = ["matched", "dropped", "kept before", "kept after"]
    assert found.rows.loc["Peru", rows].tolist() == [3, 3, 5, 2]
    assert found.rows.loc[ALL, rows].tolist() == [5, 4, 6, 2]
    assert found.rows["% of rows"].round(1).to_dict() == {"CHILE": 100, "Peru": 50, ALL: 62.5}
    flips = found.changes.xs(FREQUENT[1], level="segment")
    assert flips[["voucher_amount_before", "voucher_amount_after", "uses_before", "uses_after"]].loc[
        "Peru"
    ].to_numpy().tolist() == [[2640, 3520, 3, 2]]
    assert len(found) == len(found.changes)
    assert {"Peru", "CHILE"} == {*found.changes.index.get_level_values("country_code")}
    assert "matches 5 rows (62.5 %)" in str(found)
    assert "keep 4 of them (66.7 % of all kept)" in found._repr_mimebundle_()["text/html"]
    assert tried.rules == RuleBook(())


def test_a_candidate_is_compared_with_the_rules_given() -> None:
    """`against` are the rules that the candidate comes after; without it, they are the saved ones."""
    assert bench().try_rule("total_orders IS NULL").rows.loc[ALL, "dropped"] == 0
    assert bench().try_rule("total_orders IS NULL", against=RuleBook(())).rows.loc[ALL, "dropped"] == 1


@pytest.mark.parametrize(
    ("condition", "says", "frames"),
    [
        ("total_orders > 500", "total_orders > 500: matches no row, so nothing changes", []),
        ("total_orders IS NULL", "other rules drop them all, so nothing changes", ["Rows"]),
    ],
)
def test_a_candidate_without_effect_says_so(condition: str, says: str, frames: list[str]) -> None:
    """A condition that matches no row, or only rows that other rules drop, is told apart from one that flips nothing."""
    found = bench().try_rule(condition)
    assert says in str(found)
    assert len(found) == 0
    assert list(found.frames()) == frames


def test_a_candidate_is_drawn(tmp_path: Path) -> None:
    """The picture's title is the sentence; a country that loses all rows keeps its panel, and an empty history has one."""
    empty = Workbench(history({})[:0]).try_rule("total_orders > 5")
    for found in (bench().try_rule("country_code = 'Chile'"), empty):
        drawn = found.plot()
        drawn.savefig(tmp_path / "picture.png")
        assert drawn.get_suptitle() == str(found)
        titles = [axis.get_title(loc="left").split("\n") for axis in drawn.axes]
        assert titles == ([["CHILE", "0 of 1 rows"], ["Peru", "5 of 5 rows"]] if found is not empty else [[""]])


def test_a_candidate_about_an_unknown_country_is_refused() -> None:
    """A country that the history doesn't have is an error with the nearest name; another spelling is the same country."""
    with pytest.raises(RuleError, match=r"the history has no country 'Perru'; did you mean Peru\?"):
        bench().try_rule("total_orders > 5 AND country_code IN ('Perru', 'chile')")
    with pytest.raises(RuleError, match="the history has no country 'Zzz'; it has CHILE, Peru"):
        bench().try_rule("country_code <> 'Zzz'")
    assert bench().try_rule("country_code = ' PERU '").rows.loc["Peru", "matched"] == 5


def test_a_condition_names_its_countries() -> None:
    """Only texts that `country_code` is compared with are countries: dates and intervals are not."""
    condition = "country_code IN ('Peru', 'Chile') OR NOT (country_code = ('Peru')) OR timestamp < DATE '2020-05-01'"
    assert sorted(conditions.countries(condition)) == ["Chile", "Peru"]
    assert conditions.countries("timestamp - INTERVAL '30' DAY > TIMESTAMP '2020-05-01 00:00:00'") == []


def test_a_mistake_fails_in_the_cell() -> None:
    """`add` refuses an invalid condition, names rule, column and position with a hint, and does not keep the rule."""
    tried = bench()
    with pytest.raises(
        RuleError, match="rule few: 'total_order' at character 1 is not a column; did you mean total_orders"
    ):
        tried.add("few", "total_order < 5", "test", (0, 1))
    assert tried.rules == RuleBook(())


def test_a_broken_band_is_told_at_once() -> None:
    """`add` warns with share, band and remedy, and keeps the rule; `check_bands` then refuses."""
    tried = bench()
    with pytest.warns(RuleWarning, match=r"rule many: it matches 4 rows, 50 % of all, .* from 0 to 10 %.*`share`"):
        tried.add("many", "total_orders > 5", "test", (0, 0.1))
    tried.add("missing_total_orders", "total_orders IS NULL", "test", (0, 0.2))
    reasons = ["missing_total_orders", "many", "unreadable_total_orders"]
    assert tried.bands()["inside"].loc[reasons].tolist() == [True, False, False]
    with pytest.raises(RuleError, match="rule many: it matches 4 rows") as refusal:
        tried.check_bands()
    assert "rule unreadable_total_orders: it matches 1 rows, 12.5 % of all" in str(refusal.value)
    assert "Correct the values in the source" in str(refusal.value)


def test_bands_that_hold_are_returned() -> None:
    """If all shares are inside their bands, `check_bands` returns the table of `bands`, and `add` warns of nothing."""
    tried = Workbench(history({}, {}))
    tried.add("many", "total_orders > 5", "test", (0.5, 1))
    pd.testing.assert_frame_equal(tried.check_bands(), tried.bands())


def test_a_history_without_rows_has_no_shares() -> None:
    """On a history without rows, no band can be checked, and the message says why."""
    with pytest.warns(RuleWarning, match="rule many: the history has no rows, so its share is unknown"):
        Workbench(history({})[:0]).add("many", "total_orders > 5", "test", (0, 1))


def test_a_rule_about_a_country_that_left_is_kept() -> None:
    """`add` only warns of a country that the history doesn't have, so that a shipped rule outlives its country."""
    tried = bench()
    with pytest.warns(RuleWarning, match="rule few: the history has no country 'Latvia'; it has CHILE, Peru"):
        tried.add("few", "country_code = 'Latvia'", "test", (0, 1))
    assert [rule.name for rule in tried.rules.rules] == ["few"]


def test_the_rows_behind_a_rule() -> None:
    """`dropped` returns the very rows that a rule in use drops, as they stand in the history, in its order."""
    tried = bench()
    assert tried.dropped("missing_total_orders")["country_code"].tolist() == ["Chile"], "the saved rules"
    tried.add("many", "total_orders > 5", "test", (0, 1))
    assert tried.dropped("many")["total_orders"].tolist() == ["12.0"] * 4
    assert tried.dropped("many", "chile")["country_code"].tolist() == ["CHILE"]
    assert tried.dropped("unreadable_total_orders")["total_orders"].tolist() == ["many"]
    assert list(tried.dropped("many")) == list(COLUMNS)
    assert tried.dropped("missing_country_code", "").empty
    with pytest.raises(RuleError, match=r"there is no rule 'mani'; did you mean many\?"):
        tried.dropped("mani")
    with pytest.raises(RuleError, match=r"the history has no country 'Perru'; did you mean Peru\?"):
        tried.dropped("many", "Perru")
