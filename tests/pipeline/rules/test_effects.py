"""What vouchers did, what is refused, and how a kind chooses by it, through the engine that a run uses."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipeline.evaluate.engine import DuckDB, EngineError, evaluate
from pipeline.evaluate.totals import Results, aggregate
from pipeline.rules.kinds import Kind, Segment
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.rules.sql.effects import NOT_CHANCE
from tests.pipeline.conftest import history

NOON, NONE, KIND = datetime(2020, 3, 1, 12), RuleBook(()), "orders"
SMALL, MIDDLE, LARGE = Decimal(1000), Decimal(2000), Decimal(3000)
Row = dict[str, Any]


def book(choose: str = "most_used") -> SegmentBook:
    return SegmentBook((Kind(KIND, "total_orders", (Segment("0-4", 0, 4), Segment("5+", 5)), choose),))


def sent(
    amount: Decimal, rows: int, rate: float | None, p: float | None = 0.5, days: int = 20, **more: Any
) -> list[Row]:
    """Return rows of one amount in turn over the days, in the segment 5+.

    rate: who redeem it; the number of them is exact, but not by day; None: outcomes that are not known yet.
    """
    redeemed: list[bool | None] = [None] * rows
    if rate is not None:
        redeemed = [place < round(rows * rate) for place in range(rows)]
        random.Random(f"{amount} {rows} {rate}").shuffle(redeemed)
    times = [str(NOON + timedelta(days=place % days)) for place in range(rows)]
    common = {"voucher_amount": float(amount), "total_orders": "7", "propensity": p, "cluster": None}
    return [common | {"timestamp": time, "redeemed": got} | more for time, got in zip(times, redeemed, strict=True)]


@pytest.fixture
def found(duckdb: DuckDB) -> Callable[..., Results]:
    """Return a function that returns what a run finds in rows, or in several parts of them."""

    def find(*parts: list[Row], choose: str = "most_used") -> Results:
        tallies = []
        for rows in parts:
            with evaluate(history(*rows), NONE, book(choose), within=duckdb) as part:
                tallies.append(part.tally())
        return aggregate(tallies, NONE, book(choose))

    return find


def effects(results: Results, segment: str = "5+") -> dict[Decimal, Row]:
    rows = results.tables["effect"].to_pylist()
    return {row["voucher_amount"]: row for row in rows if row["segment"] == segment}


def policies(results: Results) -> dict[str, Row]:
    return {row["policy"]: row for row in results.tables["policy"].to_pylist()}


def answer(results: Results, segment: str = "5+") -> Row:
    [row] = [row for row in results.tables["segment"].to_pylist() if row["segment"] == segment]
    return row


CLEAR = [*sent(SMALL, 400, 0.1), *sent(MIDDLE, 300, 0.3), *sent(LARGE, 300, 0.35)]
TWO = CLEAR[:700]
FIGURES = ("share", "share_low", "share_high", "cost", "difference", "further_cost")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (sent(LARGE, 300, 0.3, days=9), "only 9 of the 10 clusters needed"),
        (sent(LARGE, 99, 0.3), "worth only 99 of the 100 customers needed"),
        (sent(LARGE, 300, 0.3) + sent(LARGE, 1, 1, p=0.01), "worth only 43 of the 100 customers needed"),
        (sent(LARGE, 2000, 0.3) + sent(LARGE, 1, 1, p=1 / 24), "one customer weighs more than 10 times the mean"),
    ],
)
def test_what_decides_too_little_is_refused(found: Callable[..., Results], rows: list[Row], why: str) -> None:
    """An amount with few clusters or customers, or with one that decides all, has a reason and no figures."""
    row = effects(found(TWO + rows))[LARGE]
    assert (row["refused"], [row[name] for name in FIGURES]) == (why, [None] * len(FIGURES))


def test_amounts_are_compared_with_the_smallest_that_has_a_share(found: Callable[..., Results]) -> None:
    """An amount that is refused is not compared with; the smallest amount itself is compared with none."""
    rows = effects(found(sent(Decimal(500), 50, 0.1) + CLEAR))
    assert {amount: row["compared_with"] for amount, row in rows.items()} == {
        **{Decimal(500): None, SMALL: None},
        **{MIDDLE: SMALL, LARGE: SMALL},
    }


def test_policies_are_refused_like_amounts(found: Callable[..., Results]) -> None:
    """Below 10 clusters, below 100 customers, or above 10 times the mean weight a policy has a reason and no value."""
    few_days = policies(found([*sent(SMALL, 300, 0.1, days=9), *sent(LARGE, 200, 0.3, days=9)]))
    assert {row["refused"] for row in few_days.values()} == {"only 9 of the 10 clusters needed"}
    few = policies(found([*sent(SMALL, 90, 0.1), *sent(LARGE, 60, 0.3)]))
    assert few["most used"]["refused"] == "worth only 90 of the 100 customers needed"
    assert few["uniform"]["refused"] is None
    heavy = policies(found([*sent(SMALL, 3000, 0.1, p=0.9), *sent(LARGE, 120, 0.3, p=0.05)]))
    assert heavy["uniform"]["refused"] == "one customer weighs more than 10 times the mean"
    assert heavy["most used"]["refused"] is None
    for row in (*few_days.values(), few["most used"], heavy["uniform"]):
        assert [row[name] for name in ("value", "value_low", "value_high", "cost")] == [None] * 4


def test_a_policy_whose_amount_nobody_got_is_refused(found: Callable[..., Results]) -> None:
    """If no outcome of the most used amount is known, that policy is refused, and the others are not."""
    rows = policies(found(CLEAR + sent(Decimal("4400.5"), 500, None)))
    assert {policy: row["refused"] for policy, row in rows.items()} == {
        "most used": "nobody in 5+ got 4400.5",
        "best by outcome": None,
        "uniform": None,
    }
    assert rows["most used"]["known"] == 0


def test_values_of_policies_are_weighted_shares(found: Callable[..., Results]) -> None:
    """Each policy's value is the share of its amounts, and of all of them for `uniform`, by 1 / propensity."""
    rows = policies(found([*sent(SMALL, 500, 0.1), *sent(LARGE, 300, 0.6, p=0.3), *sent(MIDDLE, 200, 0.2, p=0.2)]))
    value = {"most used": 0.1, "best by outcome": 0.6, "uniform": (100 + 600 + 200) / 3000}
    cost = {"most used": 100, "best by outcome": 1800, "uniform": (100 * 1000 + 600 * 3000 + 200 * 2000) / 3000}
    assert {policy: row["value"] for policy, row in rows.items()} == pytest.approx(value, abs=1e-6)
    assert {policy: row["cost"] for policy, row in rows.items()} == pytest.approx(cost, abs=0.01)
    assert {policy: row["known"] for policy, row in rows.items()} == dict(zip(value, (500, 300, 1000), strict=True))
    assert all(row["value_low"] < row["value"] < row["value_high"] for row in rows.values())


def test_the_best_amount_is_not_valued_by_its_luck(found: Callable[..., Results]) -> None:
    """Of amounts that do the same, the best one of each country is not valued higher than what they do.

    If an amount were chosen and valued on the same rows, the mean over these countries would be 3.5 points too high.
    """
    draw, amounts = random.Random(3), (SMALL, MIDDLE, LARGE, Decimal(4000))
    countries = [{"country_code": f"Country {number}"} for number in range(40)]
    rows = [row | each for each in countries for amount in amounts for row in sent(amount, 120, None, p=0.25)]
    results = found([row | {"redeemed": draw.random() < 0.2} for row in rows])
    values = [row["value"] for row in results.tables["policy"].to_pylist() if row["policy"] == "best by outcome"]
    lucky = [max(row["share"] for row in of) for of in _by_country(results).values()]
    assert sum(lucky) / 40 == pytest.approx(0.235, abs=0.01)
    assert sum(values) / 40 == pytest.approx(0.2, abs=0.015)


def _by_country(results: Results) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in results.tables["effect"].to_pylist():
        found.setdefault(row["country_code"], []).append(row)
    return found


def test_one_missing_propensity_makes_associations_of_its_segment(found: Callable[..., Results]) -> None:
    """Where one propensity is missing, all amounts of the segment are associations, and other segments' are not.

    No policy of the kind is valued, and the segment's amount stays the most used one.
    """
    rows = CLEAR + [row | {"total_orders": "2"} for row in CLEAR]
    rows[0] = rows[0] | {"propensity": None}
    results = found(rows, choose="best_effect")
    assert {row["evidence"] for row in effects(results).values()} == {"association"}
    assert {row["further_cost"] for row in effects(results).values()} == {None}
    assert {row["evidence"] for row in effects(results, "0-4").values()} == {"effect"}
    assert {row["refused"] for row in policies(results).values()} == {NOT_CHANCE}
    assert {row["value"] for row in policies(results).values()} == {None}
    assert (answer(results)["voucher_amount"], answer(results)["basis"]) == (SMALL, "segment")
    assert (answer(results, "0-4")["voucher_amount"], answer(results, "0-4")["basis"]) == (LARGE, "effect")


def test_an_association_is_not_weighted(found: Callable[..., Results]) -> None:
    """The shares of associations are those of the rows, whatever the propensities that some of them have."""
    rows = [*sent(SMALL, 200, 0.5, p=0.1), *sent(SMALL, 200, 0.1, p=None), *sent(LARGE, 200, 0.3)]
    assert effects(found(rows))[SMALL]["share"] == pytest.approx(0.3)
    known = [row | {"propensity": row["propensity"] or 0.9} for row in rows]
    assert effects(found(known))[SMALL]["share"] == pytest.approx((100 / 0.1 + 20 / 0.9) / (200 / 0.1 + 200 / 0.9))


def test_the_cost_of_a_further_redemption(found: Callable[..., Results]) -> None:
    """It is the difference of costs by that of shares; there is none if the difference of shares may be 0 or
    is negative.
    """
    rows = effects(found(CLEAR))
    assert {amount: row["further_cost"] for amount, row in rows.items()} == {
        **{SMALL: None, MIDDLE: pytest.approx((600 - 100) / 0.2), LARGE: pytest.approx((1050 - 100) / 0.25)},
    }
    unclear = effects(found([*sent(SMALL, 300, 0.2), *sent(LARGE, 300, 0.22), *sent(MIDDLE, 300, 0.05)]))
    assert unclear[LARGE]["difference_low"] < 0 < unclear[LARGE]["difference_high"]
    assert unclear[LARGE]["further_cost"] is None
    assert unclear[MIDDLE]["difference_high"] < 0
    assert unclear[MIDDLE]["further_cost"] is None


@pytest.mark.parametrize(
    ("choose", "amount", "uses", "basis"),
    [
        ("most_used", SMALL, 400, "segment"),
        ("cheapest_effect", MIDDLE, 300, "effect"),
        ("best_effect", LARGE, 300, "effect"),
    ],
)
def test_a_kind_chooses_by_effect(
    found: Callable[..., Results], choose: str, amount: Decimal, uses: int, basis: str
) -> None:
    """A kind answers the amount with the cheapest further redemption, or with most redemptions, and says so.

    The runner-up is then the most used other amount. A segment without known effects answers the most used one.
    """
    results = found([*CLEAR, *sent(LARGE, 3, None, total_orders="2")], choose=choose)
    row = answer(results)
    assert (row["voucher_amount"], row["uses"], row["rows"], row["basis"]) == (amount, uses, 1000, basis)
    other = (MIDDLE, 300) if amount == SMALL else (SMALL, 400)
    assert (row["runner_up_amount"], row["runner_up_uses"], row["tied"]) == (*other, False)
    row = answer(results, "0-4")
    assert (row["voucher_amount"], row["uses"], row["basis"]) == (LARGE, 3, "segment")


def test_an_effect_may_choose_the_most_used_amount(found: Callable[..., Results]) -> None:
    """If the most used amount has the best effect, the answer and its runner-up stay, the basis is the effect, and a
    tie decides nothing.
    """
    rows = [*sent(SMALL, 300, 0.1), *sent(MIDDLE, 300, 0.4)]
    row = answer(found(rows, choose="best_effect"))
    assert (row["voucher_amount"], row["runner_up_amount"], row["tied"]) == (MIDDLE, SMALL, False)
    row = answer(found([*rows, *sent(MIDDLE, 1, None)], choose="best_effect"))
    assert (row["voucher_amount"], row["uses"], row["runner_up_amount"], row["basis"]) == (MIDDLE, 301, SMALL, "effect")


@pytest.mark.parametrize("choose", ["cheapest_effect", "best_effect"])
@pytest.mark.parametrize(
    "rows",
    [
        [*sent(SMALL, 400, 0.2), *sent(LARGE, 300, 0.22)],
        [*sent(SMALL, 400, 0.3), *sent(LARGE, 300, 0.1)],
        [*sent(SMALL, 400, 0.1), *sent(LARGE, 300, 0.4, p=None)],
        [*sent(SMALL, 400, 0.1), *sent(LARGE, 90, 0.4)],
    ],
    ids=["not clear", "smaller is better", "association", "refused"],
)
def test_without_a_clear_effect_the_most_used_amount_answers(
    found: Callable[..., Results], rows: list[Row], choose: str
) -> None:
    """An amount is chosen only by an effect whose interval lies above 0."""
    row = answer(found(rows, choose=choose))
    assert (row["voucher_amount"], row["basis"]) == (SMALL, "segment")


def test_unknown_outcomes_count_nowhere(found: Callable[..., Results]) -> None:
    """Rows whose outcome is not known vote, and change no figure of outcomes, whatever their propensity and cluster."""
    more = sent(SMALL, 10, None, p=1e-9, cluster="x") + sent(MIDDLE, 10, None, p=None, days=40)
    known, all_rows = found(CLEAR), found(CLEAR + more)
    assert answer(all_rows)["rows"] == answer(known)["rows"] + 20
    for name in ("effect", "policy"):
        assert same(all_rows.tables[name]) == same(known.tables[name])
    assert not found(sent(SMALL, 300, None)).tables["effect"].num_rows


def test_a_cluster_replaces_the_day(found: Callable[..., Results]) -> None:
    """Rows with a cluster belong together over days, those without one by UTC day, and those without either, too."""
    rows = [row | {"cluster": f" shop {place % 12}"} for place, row in enumerate(sent(SMALL, 240, 0.3, days=3))]
    assert effects(found(rows))[SMALL]["clusters"] == 12
    assert effects(found([row | {"cluster": " "} for row in rows]))[SMALL]["clusters"] == 3
    half = [row | {"cluster": row["cluster"] if place < 120 else None} for place, row in enumerate(rows)]
    assert effects(found(half))[SMALL]["clusters"] == 12 + 3
    untimed = sent(SMALL, 300, 0.3, days=10) + sent(SMALL, 60, 0.5, timestamp=None)
    row = effects(found(untimed))[SMALL]
    assert (row["clusters"], row["known"], row["share"]) == (11, 360, pytest.approx(120 / 360))


def test_outcomes_of_parts_add_up(found: Callable[..., Results]) -> None:
    """Seven parts in another order give the very figures of one."""
    rows = CLEAR + sent(MIDDLE, 200, 0.2, p=1 / 3, days=33) + sent(LARGE, 50, None) + sent(SMALL, 99, 0.3, cluster="a")
    rows += [row | {"total_orders": "1"} for row in CLEAR]
    whole = found(rows, choose="cheapest_effect")
    shuffled = random.Random(7).sample(rows, len(rows))
    parts = found(*(shuffled[place::7] for place in range(7)), choose="cheapest_effect")
    for name, table in whole.tables.items():
        assert same(parts.tables[name]) == same(table), name


def same(table: pa.Table) -> list[str]:
    """Return the rows in an order of their own, each float with all its digits."""
    return sorted(map(str, table.to_pylist()))


READ = [
    ("redeemed", ["1", "0", " TRUE ", "false", "1.0"], "redemptions", [1, 0, 1, 0, 1]),
    ("redeemed", [True, False], "redemptions", [1, 0]),
    ("redeemed", [1.0, 0.0], "redemptions", [1, 0]),
    ("propensity", ["0.5", "1e-9", " 2.5E-1"], "weight", [2, 10**9, 4]),
    ("propensity", ["1", " 1.0", "0.5"], "certain", [1, 1, 0]),
    ("propensity", [0.5, 0.25], "weight", [2, 4]),
]
UNREADABLE = [
    ("redeemed", ["maybe", "yes", "2", "-1", "01", "None", "0.1", "1e0"]),
    ("redeemed", [0.5, 2.0, -1.0]),
    ("propensity", ["0", "1.0000001", "1e-12", "-0.5", "half", "50 %", "inf", "0,5", "1/2"]),
    ("propensity", [0.0, 1.5, -0.5, 1e-12]),
    ("cluster", ["a\0b"]),
    ("cluster", [b"\xff"]),
]


@pytest.mark.parametrize(("column", "values"), UNREADABLE)
def test_outcomes_that_cannot_be_read_are_dropped(
    found: Callable[..., Results], column: str, values: list[object]
) -> None:
    """A value that is none, or is out of range, drops its row with a reason and an example."""
    results = found([{column: value} for value in values])
    [matched] = [row for row in results.tables["rule_outcome"].to_pylist() if row["matched"]]
    assert (matched["rule"], matched["dropped"], results.rows_kept) == (f"unreadable_{column}", len(values), 0)
    assert column == "cluster" or any(str(value) in matched["example"] for value in values)


@pytest.mark.parametrize(("column", "values", "counted", "expected"), READ)
def test_outcomes_are_read_in_several_forms(
    duckdb: DuckDB, column: str, values: list[object], counted: str, expected: list[int]
) -> None:
    """Numbers, texts and booleans are read alike, with blanks around them."""
    rows = [{"redeemed": True} | {column: value, "voucher_amount": float(n)} for n, value in enumerate(values)]
    with evaluate(history(*rows), NONE, book(), within=duckdb) as part:
        tally = sorted(part.tally().to_pylist(), key=lambda row: Decimal(row["voucher_amount"]))
    assert [row["known"] for row in tally] == [1] * len(values)
    assert [float(row[counted]) for row in tally] == pytest.approx(expected, rel=1e-15)


def test_what_could_not_be_otherwise_counts_for_no_effect(found: Callable[..., Results]) -> None:
    """Customers without an id all get the table's amount, with propensity 1: their outcomes change no effect. A table
    that changed, without a lottery, is a comparison of before and after, and so an association.
    """
    alone = effects(found(TWO))
    assert effects(found(TWO + sent(SMALL, 500, 0.9, p=1.0))) == alone
    assert {row["evidence"] for row in alone.values()} == {"effect"}
    later = sent(LARGE, 500, 0.4, p=1.0, days=40)
    changed = found(sent(SMALL, 500, 0.2, p=1.0), later, choose="best_effect")
    assert {row["evidence"] for row in effects(changed).values()} == {"association"}
    assert {row["refused"] for row in policies(changed).values()} == {NOT_CHANCE}
    assert answer(changed)["basis"] == "segment"


def test_blank_outcomes_are_not_known(found: Callable[..., Results]) -> None:
    """A row with a blank outcome is kept, and has no outcome; with a blank propensity it is an association."""
    blanks = [{"redeemed": blank, "propensity": blank, "cluster": blank} for blank in (None, "", "  ", "nan")]
    results = found(blanks)
    assert (results.rows_kept, results.tables["effect"].num_rows) == (4, 0)
    [row] = found([blank | {"redeemed": "1"} for blank in blanks]).tables["effect"].to_pylist()
    assert (row["known"], row["clusters"], row["evidence"]) == (4, 1, "association")


@pytest.mark.parametrize(
    ("column", "meaning"), [("redeemed", "yes or no"), ("propensity", "number"), ("cluster", "text")]
)
def test_columns_of_other_types_are_refused(found: Callable[..., Results], column: str, meaning: str) -> None:
    """A column that can hold no such value refuses the whole part, and the error says what to do."""
    with pytest.raises(EngineError) as refusal:
        found([{column: {"a": 1}}])
    expected = f"column {column} has the type STRUCT(a BIGINT), of which no {meaning} can be read. Write it as text"
    assert expected in str(refusal.value)
