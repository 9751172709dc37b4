"""Which segments rows fall in, what they vote for, and which amount wins."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.evaluate import engine
from pipeline.evaluate.totals import Results, aggregate
from pipeline.rules.kinds import Kind, Segment, SegmentError, from_cuts
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.rules.segments import SegmentBook
from tests.pipeline.conftest import history

NONE = RuleBook(())

# The expected content of pipeline/segments.toml. All other tests here use it, so that a change fails one test.
BOUNDS = {
    "frequent_segment": ("total_orders", {"0-4": (0, 4), "5-13": (5, 13), "14-37": (14, 37), "38+": (38, None)}),
    "recency_segment": (
        "days_since_last_order",
        {
            "0-29": (0, 29),
            "30-60": (30, 60),
            "61-90": (61, 90),
            "91-120": (91, 120),
            "121-180": (121, 180),
            "180+": (181, None),
        },
    ),
}
BOOK = SegmentBook(
    tuple(
        Kind(name, measure, tuple(Segment(label, *bounds) for label, bounds in segments.items()))
        for name, (measure, segments) in BOUNDS.items()
    )
)
FREQUENT, RECENCY = ([*segments] for _, segments in BOUNDS.values())


def counted(*rows: dict[str, Any], today: date | None = None, rules: RuleBook = NONE) -> Results:
    with (
        engine.open_duckdb() as within,
        engine.evaluate(history(*rows), rules, BOOK, today=today, within=within) as part,
    ):
        return aggregate([part.tally()], rules, BOOK)


def votes(results: Results, kind: str) -> list[str]:
    return [row["segment"] for row in results.tables["segment_vote"].to_pylist() if row["segment_name"] == kind]


def unplaced(results: Results, kind: str) -> int:
    return sum(row["rows"] for row in results.tables["unplaced"].to_pylist() if row["segment_name"] == kind)


def answer(results: Results, kind: str, segment: str, country: str = "Peru") -> dict[str, Any]:
    (row,) = (
        row
        for row in results.tables["segment"].to_pylist()
        if (row["country_code"], row["segment_name"], row["segment"]) == (country, kind, segment)
    )
    return row


def edges(kind: str, most: int) -> list[tuple[int, str]]:
    """Return the lowest and highest measures of each segment of BOUNDS with its label; `most` ends the last one."""
    ends = [(label, low, most if high is None else high) for label, (low, high) in BOUNDS[kind][1].items()]
    return [(measure, label) for label, low, high in ends for measure in (low, low + 1, high - 1, high)]


@pytest.mark.parametrize(("orders", "segment"), edges("frequent_segment", 2**31 - 1))
def test_orders_fall_in_one_segment(orders: int, segment: str) -> None:
    """Every number of orders from 0 upwards votes in exactly one frequent segment; bounds are inclusive."""
    results = counted({"total_orders": str(orders)})
    assert votes(results, "frequent_segment") == [segment]
    assert unplaced(results, "frequent_segment") == 0


@pytest.mark.parametrize(("days", "segment"), edges("recency_segment", 9000))
def test_days_fall_in_one_segment(days: int, segment: str) -> None:
    """Every number of days from 0 upwards votes in exactly one recency segment; bounds are inclusive."""
    last = datetime(2020, 5, 15) - timedelta(days=days)
    results = counted({"last_order_ts": last.isoformat(), "first_order_ts": "1980-01-01"})
    assert votes(results, "recency_segment") == [segment]
    assert unplaced(results, "recency_segment") == 0


@pytest.mark.parametrize(
    ("sent", "last", "days"),
    [
        ("2020-05-15 00:00:00+00:00", "2020-04-15 23:59:59+00:00", 30),
        ("2020-05-15 23:59:59+00:00", "2020-04-15 00:00:00+00:00", 30),
        ("2020-05-15 01:00:00+09:00", "2020-04-15 00:00:00+00:00", 29),
        ("2020-05-14 22:00:00-05:00", "2020-04-15 00:00:00+00:00", 30),
    ],
)
def test_days_are_whole_utc_calendar_days(sent: str, last: str, days: int) -> None:
    """Recency counts midnights in UTC between the last order and the day of sending, not periods of 24 hours."""
    results = counted({"timestamp": sent, "last_order_ts": last})
    assert votes(results, "recency_segment") == [RECENCY[1] if days >= 30 else RECENCY[0]]


@pytest.mark.parametrize("change", [{"last_order_ts": "2020-05-16"}, {"last_order_ts": None}, {"timestamp": ""}])
def test_a_row_without_recency_votes_in_the_other_kind(change: dict[str, Any]) -> None:
    """A row with a negative or unknown measure counts as unplaced in that kind, and votes in the other."""
    results = counted(change)
    assert votes(results, "recency_segment") == []
    assert unplaced(results, "recency_segment") == 1
    assert votes(results, "frequent_segment") == [FREQUENT[1]]


def test_a_pinned_day_is_everybodys_reference_day() -> None:
    """With TODAY, recency counts to that day, even if the row's own day is unknown."""
    rows = [{"last_order_ts": "2020-04-15"}, {"last_order_ts": "2020-04-15", "timestamp": None}]
    results = counted(*rows, today=date(2020, 7, 15))
    assert [row["uses"] for row in results.tables["segment_vote"].to_pylist() if row["segment"] == RECENCY[3]] == [2]


def test_a_tie_goes_to_the_smaller_amount() -> None:
    """If two amounts are used equally often, the smaller wins and is marked as tied; the other is the runner-up."""
    results = counted(
        {"voucher_amount": 4400.0}, {"voucher_amount": 13200.0}, {"voucher_amount": 4400.0}, {"voucher_amount": 13200.0}
    )
    row = answer(results, "frequent_segment", FREQUENT[1])
    assert (row["voucher_amount"], row["uses"], row["rows"], row["tied"]) == (Decimal(4400), 2, 4, True)
    assert (row["runner_up_amount"], row["runner_up_uses"], row["basis"]) == (Decimal(13200), 2, "segment")


def test_a_tie_behind_the_winner_is_no_tie() -> None:
    """Only a tie for first place marks a segment as tied; of amounts tied for second, the smaller is the runner-up."""
    results = counted(*({"voucher_amount": amount} for amount in (3.0, 3.0, 9.0, 7.0)))
    row = answer(results, "frequent_segment", FREQUENT[1])
    assert (row["voucher_amount"], row["tied"], row["runner_up_amount"]) == (Decimal(3), False, Decimal(7))


def test_a_segment_without_history_answers_with_the_countrys_choice() -> None:
    """A segment without votes has the country's most used amount, unplaced rows included, and says so in its basis."""
    late = {"last_order_ts": "2020-06-01", "voucher_amount": 3520.0}
    results = counted(late, late, {"voucher_amount": 2640.0})
    row = answer(results, "recency_segment", RECENCY[-1])
    assert (row["voucher_amount"], row["basis"], row["uses"], row["rows"], row["tied"]) == (
        Decimal(3520),
        "country",
        0,
        0,
        False,
    )
    assert (row["runner_up_amount"], row["runner_up_uses"]) == (None, None)
    assert answer(results, "recency_segment", RECENCY[1])["voucher_amount"] == Decimal(2640)


def test_every_country_has_every_segment() -> None:
    """A country with one kept row has all ten segments; one whose rows were all dropped has none."""
    rules = RuleBook((Rule("chile", "country_code = 'Chile'", "test", (0, 1)),))
    results = counted({}, {"country_code": "Latvia"}, {"country_code": "Chile"}, rules=rules)
    countries = [row["country_code"] for row in results.tables["segment"].to_pylist()]
    assert {country: countries.count(country) for country in countries} == {"Peru": 10, "Latvia": 10}


def test_a_missing_amount_never_votes() -> None:
    """A row that is kept without an amount is unplaced; it doesn't vote for 0."""
    results = counted({"voucher_amount": None}, {"voucher_amount": None}, {"voucher_amount": 2640.0})
    assert answer(results, "frequent_segment", FREQUENT[1])["voucher_amount"] == Decimal(2640)
    assert unplaced(results, "frequent_segment") == 2


def test_parts_add_up() -> None:
    """The tallies of parts with different column types add up to the results of one table with all rows."""
    segments = SegmentBook.load()
    rows = [
        {"total_orders": str(orders), "voucher_amount": float(amount)} for orders in range(40) for amount in (1, 2, 2)
    ]
    with engine.open_duckdb() as within, engine.evaluate(history(*rows), NONE, segments, within=within) as part:
        whole = aggregate([part.tally()], NONE, segments)
    tallies = []
    for number, some in enumerate((rows[:7], rows[7:50], rows[50:])):
        typed = [row | {"total_orders": int(row["total_orders"])} for row in some] if number == 1 else some
        with (
            engine.open_duckdb() as within,
            engine.evaluate(history(*typed, voucher_amount=pa.float32()), NONE, segments, within=within) as part,
        ):
            tallies.append(part.tally())
    split = aggregate(tallies, NONE, segments)
    assert (split.rows_in, split.rows_kept, split.data_from) == (whole.rows_in, whole.rows_kept, whole.data_from)
    for name, table in whole.tables.items():
        assert sorted(map(str, split.tables[name].to_pylist())) == sorted(map(str, table.to_pylist()))


def test_the_shipped_segments() -> None:
    """The shipped segments are BOUNDS, so a change of pipeline/segments.toml requires a change of BOUNDS."""
    shipped = {(kind.name, segment) for kind in SegmentBook.load().kinds for segment in kind.segments}
    assert shipped == {(kind.name, segment) for kind in BOOK.kinds for segment in kind.segments}


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ('{ label = "a", from = 1 }', "segment a starts at 1, not at 0"),
        ('{ label = "a", from = 0, to = 4 }, { label = "b", from = 6 }', "segment b starts at 6, not at 5"),
        ('{ label = "a", from = 0, to = 4 }, { label = "b", from = 4 }', "segment b starts at 4, not at 5"),
        ('{ label = "a", from = 0, to = 4 }', "the last segment has an upper bound"),
        ('{ label = "a", from = 0 }, { label = "b", from = 9 }', "segment b starts at 9, not at None"),
        ('{ label = "a", from = 0, to = -1 }, { label = "b", from = 0 }', "segment a ends before it starts"),
        ('{ label = "a", from = 0, to = 1 }, { label = "a", from = 2 }', "two segments have the same label"),
        ('{ label = "a", from = "0" }', "from: Input should be a valid integer"),
        ('{ label = "a" }', "from: Field required"),
    ],
)
def test_broken_segments_are_refused(tmp_path: Path, segments: str, message: str) -> None:
    """The error for segments with a gap, an overlap or an end names the file and the fault."""
    path = tmp_path / "segments.toml"
    path.write_text(f'[[kind]]\nname = "frequent_segment"\nmeasure = "total_orders"\nsegments = [{segments}]\n')
    with pytest.raises(SegmentError) as refusal:
        SegmentBook.load(path)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_part_with_many_outcomes_gives_the_tally_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts of batches are added up on the way, to save memory, and the sums are the same."""
    segments, few_kept = SegmentBook.load(), Rule("large", "voucher_amount > 90", "It is only tried.", (0, 1))
    rows = history(*({"voucher_amount": float(number * number % 100)} for number in range(5_000)))

    def tally() -> pa.Table:
        with (
            engine.open_duckdb() as within,
            engine.evaluate(rows, RuleBook((few_kept,)), segments, within=within) as part,
        ):
            return part.tally()

    at_once = tally()
    monkeypatch.setattr(engine, "BATCH_ROWS", 100)
    monkeypatch.setattr(engine, "FEW_OUTCOMES", 10)
    assert tally().equals(at_once)
    assert sum(at_once["rows"].to_pylist()) == 5_000


def test_saved_kinds_are_read_again(tmp_path: Path) -> None:
    """What is saved is what is loaded, titles, reasons and choices included, and saving it again changes no byte."""
    titles = {"3+": 'the "regulars", über\\alles'}
    kinds = (
        Kind("tenure", "days_since_first_order", from_cuts([7, 8]), "best_effect", "Tenure", "It's 'new' or \"old\"."),
        Kind("orders", "total_orders", from_cuts([3], titles=titles), title="Orders", because="So."),
    )
    path = tmp_path / "segments.toml"
    SegmentBook(kinds).save(path)
    assert SegmentBook.load(path) == SegmentBook(kinds)
    assert [segment.label for segment in kinds[0].segments] == ["0-6", "7", "8+"]
    before = path.read_bytes()
    SegmentBook.load(path).save(path)
    assert path.read_bytes() == before


OTHERS = """# why there is a lottery

[lottery]  # drawn
share = 0.1
salt = "spring [2027]"
amounts = { Peru = [
    1, 2] }

# nobody knows
[holdout]
share = 0.05
"""


@pytest.mark.parametrize(
    "kinds", ["", '[[kind]]\nname = "old"\nmeasure = "total_orders"\n[[kind.segments]]\nlabel = "x"\n']
)
@pytest.mark.parametrize("first", [True, False])
def test_saving_kinds_keeps_the_rest_of_the_file(tmp_path: Path, kinds: str, first: bool) -> None:
    """Lottery and holdout stay as they are written, with their comments, wherever they stand."""
    path = tmp_path / "segments.toml"
    path.write_text(f"{kinds}\n{OTHERS}" if first else f"{OTHERS}\n{kinds}")
    SegmentBook(BOOK.kinds).save(path)
    assert path.read_text().endswith(f"]\n\n{OTHERS}")
    book = SegmentBook.load(path)
    assert (book.kinds, book.lottery.share, book.holdout.share) == (BOOK.kinds, Decimal("0.1"), Decimal("0.05"))


def test_what_could_not_be_kept_is_not_lost(tmp_path: Path) -> None:
    """A lottery that is not a table of its own is an error, and the file stays."""
    path = tmp_path / "segments.toml"
    path.write_text('lottery = { share = 0.1, salt = "a" }\n')
    with pytest.raises(SegmentError, match=r"segments.toml: write \[lottery\] and \[holdout\] as tables"):
        SegmentBook(BOOK.kinds).save(path)
    assert path.read_text() == 'lottery = { share = 0.1, salt = "a" }\n'


@pytest.mark.parametrize(
    ("cuts", "labels", "message"),
    [
        ([3, 2], None, "cut 2 comes after 3"),
        ([3, 3], None, "cut 3 comes after 3"),
        ([0], None, "cut 0 is not a whole number of at least 1"),
        ([True], None, "cut True is not a whole number"),
        (["3"], None, "cut '3' is not a whole number"),
        ([3], ["few"], "1 cuts make 2 segments, but there are 1 labels"),
        ([3], ["few", 3], "label 3 is not a text"),
        ([3], ["0-3", "more"], "label '0-3' does not match its bounds, 0-2; change the label or the cuts"),
        ([3], ["0-2", "4+"], "label '4+' does not match its bounds, 3+"),
        ([3], ["0+", "3+"], "label '0+' does not match its bounds, 0-2"),
    ],
)
def test_a_mistake_in_cuts_or_labels_is_named(cuts: list[Any], labels: list[Any] | None, message: str) -> None:
    """The error of a cut or a label names it, and what to do."""
    with pytest.raises(SegmentError, match=re.escape(message)):
        from_cuts(cuts, labels)


def test_labels_may_say_more_than_a_number_or_nothing_of_it() -> None:
    """The label 3+ is right from 3 and from 4 on, and a label without bounds always is."""
    assert [segment.lower for segment in from_cuts([4], ["few", "3+"])] == [0, 4]
    assert from_cuts([], ["everybody"]) == (Segment("everybody", 0),)


@pytest.mark.parametrize(
    ("name", "measure", "message"),
    [
        ("sent", "total_orders", "kind sent: the name is reserved; use another one, e.g. sent_segment"),
        ("age", "total_order", "measure 'total_order' is not one of .*; did you mean total_orders?"),
        (
            "age",
            "voucher_amount",
            "measure 'voucher_amount' is not one of total_orders, days_since_last_order, days_sinc",
        ),
    ],
)
def test_a_wrong_name_or_measure_of_a_kind_is_named(name: str, measure: str, message: str) -> None:
    """A kind named like a column is refused, and so is one with a measure that doesn't exist."""
    with pytest.raises(SegmentError, match=message):
        Kind(name, measure, from_cuts([3]))


def test_two_kinds_of_one_name_are_refused() -> None:
    """Each kind needs its own name."""
    with pytest.raises(SegmentError, match="there are two kinds named orders"):
        SegmentBook((Kind("orders", "total_orders", from_cuts([3])),) * 2)


@pytest.mark.parametrize(("first", "label"), [("2020-05-15", "0-6"), ("2020-05-08 23:59", "7"), ("2019-01-01", "8+")])
def test_a_kind_may_measure_the_days_since_the_first_order(first: str, label: str) -> None:
    """A kind over the days since the first order counts calendar days from it to the day of sending."""
    book = SegmentBook((Kind("tenure", "days_since_first_order", from_cuts([7, 8])),))
    rows = history({"timestamp": "2020-05-15 12:00", "first_order_ts": first})
    with engine.open_duckdb() as within, engine.evaluate(rows, NONE, book, within=within) as part:
        results = aggregate([part.tally()], NONE, book)
    assert votes(results, "tenure") == [label]
