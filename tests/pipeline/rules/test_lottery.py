"""Which amounts a run's lottery and holdout give, how likely each is, and which files are refused."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluate.engine import DuckDB, evaluate
from pipeline.evaluate.totals import aggregate
from pipeline.rules.kinds import SegmentError
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from tests.pipeline.conftest import history

KIND = """
[[kind]]
name = "frequent_segment"
measure = "total_orders"
segments = [{ label = "0-4", from = 0, to = 4 }, { label = "5+", from = 5 }]
"""
USED = {2640: 150, 1760: 47, 4400: 2, 880: 1}  # in Peru: 4400 has 1 % of the votes, 880 half of it
LATVIA = {3520: 3, 5720: 1}
ROWS = [
    {"country_code": country, "voucher_amount": float(amount)}
    for country, used in (("Peru", USED), ("Latvia", LATVIA))
    for amount, rows in used.items()
    for _ in range(rows)
]
Book = Callable[..., SegmentBook]
Arms = list[tuple[str, Decimal, Fraction]]  # how it came about, amount and share, in the order of the draw


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Return a function that writes and reads a segments file with these lines before or after the kind."""

    def read(lottery: str = "", kind: str = KIND) -> SegmentBook:
        path = tmp_path / "segments.toml"
        path.write_text(lottery + kind)
        return SegmentBook.load(path)

    return read


@pytest.fixture
def draws(duckdb: DuckDB) -> Callable[[SegmentBook], list[dict[str, Any]]]:
    """Return a function that returns the published draws of ROWS."""

    def draw(segments: SegmentBook) -> list[dict[str, Any]]:
        with evaluate(history(*ROWS), RuleBook(()), segments, within=duckdb) as part:
            rows: list[dict[str, Any]] = aggregate([part.tally()], RuleBook(()), segments).tables["draw"].to_pylist()
        return sorted(rows, key=lambda row: (row["country_code"], row["segment"], row["position"]))

    return draw


@pytest.fixture
def arms(book: Book, draws: Callable[[SegmentBook], list[dict[str, Any]]]) -> Callable[..., Arms]:
    """Return a function that returns the arms of a segment, given the lines of a file."""

    def of(lottery: str, country: str = "Peru", segment: str = "5+") -> Arms:
        rows = [row for row in draws(book(lottery)) if (row["country_code"], row["segment"]) == (country, segment)]
        total = sum(row["tickets"] for row in rows)
        return [(row["chosen_by"], row["voucher_amount"], Fraction(row["tickets"], total)) for row in rows]

    return of


def lottery(share: object = 0.1, salt: str = "spring", more: str = "", holdout: str = "") -> str:
    return f'[lottery]\nshare = {share}\nsalt = "{salt}"\n{more}\n' + (f"[holdout]\n{holdout}\n" if holdout else "")


@pytest.mark.parametrize(
    ("share", "held"),
    [("0.1", "0"), ("0.3", "0.05"), ("0.7", "0.29"), ("0.000001", "0.1"), ("0.123457", "0.000001"), ("1e-3", "0.999")],
)
def test_shares_are_the_decimals_of_the_file(arms: Callable[..., Arms], share: str, held: str) -> None:
    """Holdout, each of the amounts that take part, and the table get exactly the shares that the file says."""
    found = arms(lottery(share, holdout=f"share = {held}"))
    each = Fraction(share) / 3
    expected = [
        ("holdout", Decimal(1760), Fraction(held)),
        *(("lottery", Decimal(amount), each) for amount in (1760, 2640, 4400)),
        ("table", Decimal(2640), 1 - Fraction(held) - Fraction(share)),
    ]
    assert found == [arm for arm in expected if arm[2]]
    assert sum(arm[2] for arm in found) == 1


def test_each_segment_has_its_draws(book: Book, draws: Callable[[SegmentBook], list[dict[str, Any]]]) -> None:
    """All segments of a country share the tickets and the salt; positions are in the order of the draw."""
    rows = draws(book(lottery(0.2)))
    by_segment: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_segment.setdefault((row["country_code"], row["segment"]), []).append(row)
    assert {key: [row["position"] for row in found] for key, found in by_segment.items()} == {
        ("Latvia", "0-4"): [1, 2, 3],
        ("Latvia", "5+"): [1, 2, 3],
        ("Peru", "0-4"): [1, 2, 3, 4],
        ("Peru", "5+"): [1, 2, 3, 4],
    }
    assert {key: sum(row["tickets"] for row in found) for key, found in by_segment.items()} == {
        key: 5 * (3 if key[0] == "Peru" else 2) for key in by_segment
    }
    assert {row["salt"] for row in rows} == {"spring"}


def test_by_default_amounts_with_one_percent_of_the_countrys_votes_take_part(arms: Callable[..., Arms]) -> None:
    """An amount with exactly 1 % of its country's votes takes part, one with less does not."""
    assert [arm[1] for arm in arms(lottery())] == [1760, 2640, 4400, 2640]
    assert [arm[1] for arm in arms(lottery(), "Latvia")] == [3520, 5720, 3520]


@pytest.mark.parametrize("name", ["Peru", "PERU", "peru", '"\u00a0 peRU "'])
def test_amounts_are_named_by_country_in_any_spelling(arms: Callable[..., Arms], name: str) -> None:
    """The amounts of a country are those of the file, whatever its spelling there; other countries keep the default."""
    found = lottery(more=f"amounts = {{ {name} = [990, 880.5, 880.50] }}", holdout="share = 0.1")
    assert [arm[:2] for arm in arms(found)] == [
        ("holdout", Decimal("880.5")),
        ("lottery", Decimal("880.5")),
        ("lottery", Decimal(990)),
        ("table", Decimal(2640)),
    ]
    assert [arm[1] for arm in arms(found, "Latvia")] == [3520, 3520, 5720, 3520]


def test_a_holdout_may_get_nothing(arms: Callable[..., Arms]) -> None:
    """The holdout gets the amount of the file, also 0, and needs no lottery."""
    found = arms('[lottery]\nsalt = "s"\n[holdout]\nshare = 0.25\namount = 0\n')
    assert found == [("holdout", Decimal(0), Fraction(1, 4)), ("table", Decimal(2640), Fraction(3, 4))]


def test_a_lottery_of_all_leaves_no_one_for_the_table(arms: Callable[..., Arms]) -> None:
    """With lottery and holdout of 1 together, no customer gets the table's amount."""
    assert [arm[0] for arm in arms(lottery(0.9, holdout="share = 0.1"))] == ["holdout", *["lottery"] * 3]


@pytest.mark.parametrize("text", ["", "[lottery]\n", '[lottery]\nsalt = "s"\n[holdout]\nshare = 0.0\namount = 5\n'])
def test_without_a_lottery_there_are_no_draws(
    book: Book, draws: Callable[[SegmentBook], list[dict[str, Any]]], text: str
) -> None:
    """A file without shares publishes no draws."""
    assert draws(book(text)) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Peruu", "did you mean Peru?"), ("Lativa", "did you mean Latvia?"), ("Zimbabwe", "it has Latvia, Peru")],
)
def test_an_unknown_country_is_named_with_the_nearest(arms: Callable[..., Arms], name: str, hint: str) -> None:
    """Amounts of a country that the history doesn't have are refused, with the country that may be meant."""
    with pytest.raises(SegmentError) as refusal:
        arms(lottery(more=f"amounts = {{ {name} = [1760] }}"))
    assert str(refusal.value) == (
        f"segments.toml: lottery: amounts of '{name}': the history has no such country; {hint}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lottery]\nshare = 0.1\n", 'lottery: salt is missing; set one, e.g. salt = "spring 2027". Another salt'),
        ('[lottery]\nshare = 0.1\nsalt = "  "\n', "lottery: salt is missing"),
        ("[holdout]\nshare = 0.1\n", "lottery: salt is missing"),
        (lottery(1.1), "lottery.share: Input should be less than or equal to 1, not 1.1"),
        (lottery(-0.1), "lottery.share: Input should be greater than or equal to 0, not -0.1"),
        (lottery(holdout="share = 1.5"), "holdout.share: Input should be less than or equal to 1"),
        (lottery(0.7, holdout="share = 0.4"), "the shares 0.7 and 0.4 are more than 1 together"),
        (lottery(0.1234567), "lottery.share: Decimal input should have no more than 6 decimal places"),
        (lottery('"a tenth"'), "lottery.share: Input should be a valid decimal"),
        (lottery("nan"), "lottery.share: "),
        (lottery(holdout="share = 0.1\namount = -1"), "holdout.amount: Input should be greater than or equal to 0"),
        (lottery(holdout="share = 0.1\namount = 1.005"), "holdout.amount: Decimal input should have no more than 2"),
        (lottery(more="amounts = { Peru = [] }"), "lottery: amounts of 'Peru' is empty; leave the country out"),
        (lottery(more="amounts = { Peru = [1, -2] }"), "lottery: amount -2 of 'Peru' is not a number from 0 with"),
        (lottery(more="amounts = { Peru = [1.005] }"), "lottery: amount 1.005 of 'Peru' is not a number from 0 with"),
        (lottery(more="amounts = { Peru = 5 }"), "lottery.amounts.Peru: "),
        (lottery(more="salty = 1"), "lottery.salty: "),
        (lottery(holdout="shares = 1"), "holdout.shares: "),
        ("[lotery]\nshare = 0.1\n", "lotery: "),
    ],
)
def test_a_broken_lottery_is_refused(book: Book, text: str, message: str) -> None:
    """The error names the key and what is wrong with it."""
    with pytest.raises(SegmentError) as refusal:
        book(text)
    assert message in str(refusal.value)
    assert "segments.toml" in str(refusal.value)


def test_the_runs_identity_has_all_of_it(book: Book) -> None:
    """Share, salt, amounts, holdout and how a kind chooses are part of the hash of the segments; blanks are not."""
    choosing = KIND.replace('"total_orders"', '"total_orders"\nchoose = "best_effect"')
    texts = [
        *(lottery(), lottery(0.2), lottery(salt="autumn"), lottery(more="amounts = { Peru = [1] }"), ""),
        *(lottery(more="amounts = { Peru = [2] }"), lottery(holdout="share = 0.1")),
        lottery(holdout="share = 0.1\namount = 0"),
    ]
    hashes = [book(text).hash for text in texts] + [book(lottery(), choosing).hash]
    assert len(set(hashes)) == len(hashes)
    assert book("\n" + lottery("0.10")).hash == book(lottery()).hash
