"""How values are read, how rules affect a row, and the rule file."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluate import engine
from pipeline.evaluate.totals import aggregate
from pipeline.rules.rulebook import UNREADABLE, Rule, RuleBook, RuleError
from pipeline.rules.segments import SegmentBook
from tests.pipeline.conftest import history

NONE = RuleBook(())
SEGMENTS = SegmentBook.load()


def judged(book: RuleBook, *rows: dict[str, Any]) -> dict[str, tuple[int, int]]:
    segments = SegmentBook.load()
    with engine.open_duckdb() as within, engine.evaluate(history(*rows), book, segments, within=within) as part:
        results = aggregate([part.tally()], book, segments)
    return {name: (matched, dropped) for name, matched, dropped in results.by_rule() if name not in UNREADABLE}


def answered(book: RuleBook, *countries: str | None) -> dict[str, int]:
    """Return the countries that have an answer, with the number of rows kept for each."""
    rows = history(*({"country_code": country} for country in countries))
    with engine.open_duckdb() as within, engine.evaluate(rows, book, SEGMENTS, within=within) as part:
        votes = aggregate([part.tally()], book, SEGMENTS).tables["segment_vote"].to_pylist()
    return {row["country_code"]: row["uses"] for row in votes if row["segment_name"] == "frequent_segment"}


def test_white_space_and_form_make_no_country() -> None:
    """Spellings of a country count together under the most frequent one, and a blank country has no answer."""
    spellings = ["Peru"] * 3 + ["Peru\u00a0"] * 2 + ["\u00a0", "\u3000", "\u200b", "Peru\u200b", "PERU"]
    forms = ["Co\u0302te"] * 2 + ["C\u00f4te"] * 2 + ["CÔTE\x85"] * 3
    assert answered(NONE, *spellings, *forms) == {"Peru": 7, "Côte": 7}
    assert answered(NONE, "PERU", "peru", "Peru") == {"PERU": 3}  # as frequent as the others, and the first one


@pytest.mark.parametrize(
    "condition",
    [
        *(
            "country_code = 'Chile'",
            "country_code = 'CHILE'",
            "' chile\u00a0' = country_code",
            "country_code IN ('chile')",
        ),
        *("NOT country_code <> 'Chile'", "NOT (country_code) NOT IN ('Peru', 'Chile') AND country_code <> 'peru'"),
        "country_code = 'Ｃｈｉｌｅ' AND timestamp > TIMESTAMP '2000-01-01' + INTERVAL '1' DAY",  # noqa: RUF001
    ],
)
def test_a_rule_means_every_spelling_of_a_country(condition: str) -> None:
    """A rule matches every spelling of a country, regardless of case, form and white space in the rule and the data."""
    book = RuleBook((Rule("closed", condition, "closed", (0, 1)),))
    spellings = ["Chile"] * 5 + ["Chile\u00a0"] * 3 + ["CHILE", "chi\u00adle", "\ufeffChile", "Ｃｈｉｌｅ"]  # noqa: RUF001
    assert answered(book, *spellings, "Peru", None, "\u00a0") == {"Peru": 1}


def test_a_missing_country_is_null_in_rules() -> None:
    """A missing country matches IS NULL in a rule, and no other country does."""
    book = RuleBook((Rule("missing", "country_code IS NULL OR NOT country_code IS NOT NULL", "missing", (0, 1)),))
    assert answered(book, "Peru", None, "", "\u00a0") == {"Peru": 1}


def test_the_key_of_a_country_is_no_column_of_a_rule() -> None:
    """A rule can't use `country_key`, which the SQL compares instead of country_code."""
    with pytest.raises(RuleError, match="'country_key' at character 1 is not a column; did you mean country_code"):
        Rule("missing", "country_key IS NULL", "missing", (0, 1))


def test_a_row_is_dropped_by_the_first_rule_it_breaks() -> None:
    """Each rule's matches are counted independently; a dropped row counts for the first rule in file order."""
    few = Rule("few_orders", "total_orders < 5", "few", (0, 1))
    cheap = Rule("cheap", "voucher_amount < 100", "cheap", (0, 1))
    rows = [{"total_orders": "1"}, {"total_orders": "1", "voucher_amount": 1.0}, {"voucher_amount": 1.0}, {}]
    assert judged(RuleBook((few, cheap)), *rows) == {"few_orders": (2, 2), "cheap": (2, 1)}
    assert judged(RuleBook((cheap, few)), *rows) == {"few_orders": (2, 1), "cheap": (2, 2)}


def test_a_condition_that_is_null_does_not_drop() -> None:
    """A row is dropped only if the condition is true, not if it is unknown."""
    book = RuleBook((Rule("many_orders", "total_orders > 5", "many", (0, 1)),))
    assert judged(book, {"total_orders": None}, {"total_orders": "6"}) == {"many_orders": (1, 1)}


def test_an_unreadable_row_matches_no_rule() -> None:
    """A value that can't be read doesn't count as missing."""
    book = RuleBook((Rule("missing_total_orders", "total_orders IS NULL", "none", (0, 1)),))
    assert judged(book, {"total_orders": "many"}, {"total_orders": ""}) == {"missing_total_orders": (1, 1)}


def test_a_saved_book_is_read_back_the_same(tmp_path: Path) -> None:
    """Saving, loading and saving again gives the same bytes, including quotes."""
    rules = (
        Rule("a", "country_code = 'Côte d''Ivoire'", 'Because "it" is \\ so', (0.0, 0.25)),
        Rule("b", "total_orders IS NULL", "b", (0, 1)),
    )
    RuleBook(rules, unreadable_share=(0.0, 0.001)).save(tmp_path / "rules.toml")
    book = RuleBook.load(tmp_path / "rules.toml")
    assert book == RuleBook(rules, (0.0, 0.001))
    book.save(tmp_path / "again.toml")
    assert (tmp_path / "again.toml").read_bytes() == (tmp_path / "rules.toml").read_bytes()


def test_the_hash_follows_what_the_rules_do() -> None:
    """The hash depends on the condition, but not on the reason or the band."""
    one = Rule("a", "total_orders < 5", "few", (0, 1))
    assert RuleBook((one,)).hash == RuleBook((Rule("a", "total_orders < 5", "other words", (0, 0.5)),)).hash
    assert RuleBook((one,)).hash != RuleBook((Rule("a", "total_orders < 6", "few", (0, 1)),)).hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule]\n", "Expected"),
        ("[[rule]]\nname = 'a'\n", "rule.0.drop_when: Field required"),
        ("[[rule]]\nname='a'\ndrop_when='total_orders >'\nbecause='b'\nshare=[0,1]\n", "rule a: the condition"),
        ("[[rule]]\nname='A b'\ndrop_when='TRUE'\nbecause='b'\nshare=[0,1]\n", "rule name 'A b'"),
        ("[[rule]]\nname='rows'\ndrop_when='TRUE'\nbecause='b'\nshare=[0,1]\n", "rule name 'rows'"),
        ("[[rule]]\nname='a'\ndrop_when='TRUE'\nbecause=' '\nshare=[0,1]\n", "'because' is empty"),
        ("[[rule]]\nname='a'\ndrop_when='TRUE'\nbecause='b'\nshare=[0.5,0.1]\n", "share [0.5, 0.1] is not"),
        (
            "[[rule]]\nname='a'\ndrop_when='TRUE'\nbecause='b'\nshare=[0,'x']\n",
            "rule.0.share.1: Input should be a valid number",
        ),
        (
            "[[rule]]\nname='a'\ndrop_when=1\nbecause='b'\nshare=[0,1]\n",
            "rule.0.drop_when: Input should be a valid string, not 1",
        ),
        ("[[rule]]\nname='a'\ndrop_when='TRUE'\nbecause='b'\nshare=[0,1]\n" * 2, "there are two rules named a"),
        ("rule = 3\n", "rule: Input should be a valid tuple, not 3"),
        ("unreadable = 3\n", "unreadable: Input should be"),
        ("rules = 3\n", "rules: Extra inputs are not permitted"),
        ("[unreadable]\nshare = [0]\n", "unreadable.share.1: Field required"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The error for an invalid rule file names the file, the fault and the remedy."""
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RuleError) as refusal:
        RuleBook.load(path)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "make rules" in str(refusal.value)


@pytest.mark.parametrize(
    ("condition", "matched"),
    [
        ("days_since_last_order < 0", 1),  # sent before the last order
        ("days_since_last_order > 14 AND days_since_first_order < 100", 2),
        ("days_since_first_order BETWEEN 5 AND 9 OR days_since_last_order IS NULL", 1),
        ("total_orders = days_since_last_order", 0),
    ],
)
def test_a_rule_may_compare_what_segments_measure(condition: str, matched: int) -> None:
    """The days since an order are columns of a rule, and the same numbers that segments use."""
    rows = [
        {"timestamp": "2020-05-15", "last_order_ts": last, "first_order_ts": "2020-03-01"}
        for last in ("2020-05-16", "2020-04-15 23:59", "2020-03-01", None)
    ]
    book = RuleBook((Rule("days", condition, "It is only tried.", (0, 1)),))
    assert judged(book, *rows) == {"days": (matched, matched)}
    pinned = engine.open_duckdb()
    with (
        pinned as within,
        engine.evaluate(history(*rows), book, SEGMENTS, within=within, today=date(2031, 1, 1)) as part,
    ):
        of_today = aggregate([part.tally()], book, SEGMENTS).by_rule()
    assert ("days", 0, 0) in of_today or "NULL" in condition
