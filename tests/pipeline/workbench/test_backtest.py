"""The backtest, the suggested cuts and the weekly winners, on histories whose figures are easy to count."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.rules.kinds import SegmentError
from pipeline.workbench import Workbench
from pipeline.workbench.backtest import BacktestError
from pipeline.workbench.pictures import over_measure
from tests.pipeline.conftest import history

DAYS = range(1, 31)
KINDS = ["frequent_segment", "recency_segment"]


def row(day: int, orders: int, amount: float, country: str = "Peru") -> dict[str, object]:
    return {
        "timestamp": f"2020-05-{day:02} 12:00:00",
        "total_orders": str(orders),
        "voucher_amount": amount,
        "country_code": country,
    }


def mixed(**changed: object) -> Workbench:
    """Return thirty days of vouchers: few orders get 100, from the 8th order on they get 200."""
    rows = [row(day, orders, 200 if orders > 7 else 100) for day in DAYS for orders in range(2, 12) for _ in range(3)]
    return Workbench(history(*(each | changed for each in rows)))


def test_hits_are_counted_against_country_chance_and_hindsight() -> None:
    """Answers learned from the first 21 days hit the later ones as often as can be counted by hand."""
    found = mixed().backtest()
    assert (found.learned, found.tested) == (630, 270)
    hits = found.hits().loc[KINDS[0]]
    assert hits["tested"] == 270
    # 5 to 11 orders are one segment, in which four of seven get 200; 2 to 4 get 100. The country's amount is 100.
    assert hits[["table %", "country %", "chance %", "hindsight %"]].tolist() == pytest.approx([70, 60, 52, 70])
    apart = found.differences().loc[KINDS[0]]
    assert apart.loc["table - country", "points"] == pytest.approx(10)
    assert apart["low"].isna().all(), "nine days are too few for an interval"
    assert "the table hits 70.0 %" in str(found)


def test_other_cuts_are_compared_voucher_by_voucher() -> None:
    """Cuts where the practice changes hit every voucher; those in use are compared with them, send by send."""
    bench = mixed()
    other = Workbench(history({}))
    other.segments.kind("frequent_segment", "total_orders", [8], title="Orders", because="Test.")
    found = bench.backtest(other.book)
    assert found.rows["segment_name"].unique().tolist() == [KINDS[0]]
    assert found.hits()["other %"].tolist() == [100]
    assert found.differences().loc[(KINDS[0], "other - table"), "points"] == pytest.approx(30)
    one_country = bench.backtest({"Chile": other.book}).differences().xs("other - table", level="difference")
    assert {*one_country["points"]} == {0}, "a country without cuts of its own has those in use"


@pytest.mark.parametrize("by_country", [True, False])
def test_suggested_cuts_are_where_the_practice_changes(by_country: bool) -> None:
    """`suggest` finds the cut after which another amount is sent, tests it on later vouchers and changes nothing."""
    bench = mixed()
    before = bench.book
    found = bench.segments.suggest("frequent_segment", by_country=by_country)
    assert found.cuts == ({"Peru": [8]} if by_country else [8])
    assert found.answers["amount"].tolist() == [100, 200]
    assert found.gain["points"].tolist() == pytest.approx([30, 30])
    assert bench.book == before


def test_a_suggested_segment_has_enough_rows_and_sends() -> None:
    """A change in fewer than 200 rows, or on fewer than 10 days, suggests no cut."""
    usual = [row(day, orders, 100) for day in DAYS for orders in range(2, 12) for _ in range(3)]
    few = [row(day, 90, 200) for day in DAYS]
    one_day = [row(3, 80, 200) for _ in range(400)]
    assert Workbench(history(*usual, *few)).segments.suggest("frequent_segment").cuts == []
    assert Workbench(history(*usual, *one_day)).segments.suggest("frequent_segment").cuts == []


@pytest.mark.parametrize(
    "bench", [Workbench(history({})[:0]), Workbench(history({}, {})), Workbench(history({"timestamp": None}))]
)
def test_a_history_that_cannot_be_split_is_refused(bench: Workbench) -> None:
    """Without rows, without times or with a single time there is nothing to test, and the error says so."""
    with pytest.raises(BacktestError, match="a backtest needs"):
        bench.backtest()


@pytest.mark.parametrize("by_country", [True, False])
def test_a_kind_without_votes_has_no_cuts_to_suggest(by_country: bool) -> None:
    """Without days since the last order, the backtest tests the other kind, and `suggest` says that there is nothing."""
    bench = mixed(last_order_ts=None)
    hits = bench.backtest().hits()["table %"]
    assert hits[KINDS[0]] == pytest.approx(70)
    assert KINDS[1] not in hits
    with pytest.raises(BacktestError, match="none of the 270 later vouchers is in a segment"):
        bench.segments.suggest(KINDS[1], by_country=by_country)


def test_a_history_of_which_no_row_is_kept_is_refused() -> None:
    """If the rules drop all rows there is nothing to test or suggest from; the other tables and pictures are empty."""
    bench = mixed(voucher_amount=None)
    for asked in (bench.backtest, lambda: bench.segments.suggest(KINDS[0])):
        with pytest.raises(BacktestError, match="0 vouchers can be split by time"):
            asked()
    assert bench.intervals().empty
    assert "won 0 of 0 times" in bench.weekly_winners().plot().get_suptitle()


def test_a_kind_that_is_not_there_is_refused() -> None:
    """`suggest` names the kinds that there are, and refuses fewer than one segment."""
    with pytest.raises(SegmentError, match="no kind 'frequency'; the kinds are frequent_segment"):
        mixed().segments.suggest("frequency")
    with pytest.raises(SegmentError, match="most is 0"):
        mixed().segments.suggest("frequent_segment", most=0)


def test_weekly_winners_leave_out_small_weeks() -> None:
    """A week with at least 30 vouchers has a winner; `changing` counts the weeks of each amount."""
    weeks = [(4, 40, 100), (11, 40, 200), (18, 40, 100), (25, 20, 200)]
    found = Workbench(
        history(*[row(day, 7, amount) for day, rows, amount in weeks for _ in range(rows)])
    ).weekly_winners()
    own = found.weeks.xs("frequent_segment", level="segment_name")
    assert own["won"].tolist() == [True, False, True]
    assert own["lead"].tolist() == [100, -100, 100]
    assert found.changing.loc["Peru", "frequent_segment"]["won (weeks)"].tolist() == ["100 (2), 200 (1)"]


@pytest.mark.long
def test_pictures_are_drawn(tmp_path: Path) -> None:
    """Each result draws a figure whose title is its sentence, also with one country and segments without a vote."""
    bench = mixed()
    no_days = mixed(last_order_ts=None)
    for found in (
        *(bench.backtest(), bench.segments.suggest("frequent_segment"), bench.weekly_winners()),
        *(no_days.backtest(), no_days.weekly_winners()),
    ):
        drawn = found.plot()
        drawn.savefig(tmp_path / "picture.png")
        assert drawn.get_suptitle() in str(found)


def test_cuts_next_to_each_other_are_drawn_apart(tmp_path: Path) -> None:
    """Bars are equally wide and begin at each cut, whatever the distances; labels that would touch are set aside."""
    rows = pd.DataFrame({"country_code": "Peru", "voucher_amount": 100.0, "measure": [*range(60)] * 40 + [900] * 40})
    drawn = over_measure(rows, "orders", {"Peru": [14, 15]}, [500], "Title")
    drawn.savefig(tmp_path / "picture.png")
    (axis,) = drawn.axes
    assert [(label.get_text(), label.get_horizontalalignment()) for label in axis.texts] == [
        *(("14", "right"), ("15", "left")),
    ]
    one, other = (label.get_position()[0] for label in axis.texts)
    assert other - one == 1
    assert {round(bar.get_width(), 6) for bar in axis.patches if bar.get_height()} == {1}


@pytest.mark.long
def test_the_real_backtest(real_data: Path) -> None:
    """On the real history the backtest and the suggested cuts have the known figures."""
    bench = Workbench.open(str(real_data))
    hits = bench.backtest().hits()
    assert hits["table %"].round(1).to_dict() == {"frequent_segment": 42.2, "recency_segment": 40.7}
    assert hits["country %"].round(1).tolist() == [39.9, 39.9]
    gain = bench.segments.suggest("frequent_segment", by_country=True).gain.loc["all countries"]
    assert gain[["points", "low", "high"]].round(2).tolist() == [0.73, 0.51, 0.95]


def test_no_interval_of_hits_goes_beyond_0_or_100() -> None:
    """The ends of an interval of hits are percentages, however few vouchers miss."""
    days = [f"2020-{5 + day // 28:02}-{1 + day % 28:02}" for day in range(40)]
    found = Workbench(
        history(
            *[{"timestamp": day, "voucher_amount": 200.0 if place == 38 else 100.0} for place, day in enumerate(days)]
        )
    ).backtest()
    hits = found.hits().loc[KINDS[0]]
    assert hits["table %"] == pytest.approx(100 * 11 / 12)
    assert (0 < hits["table low"] < hits["table %"], hits["table high"]) == (True, 100)
