"""The real history, on machines that have it: counts and answers that were calculated independently."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline import run
from pipeline.evaluate.dropped import dropped_rows
from pipeline.evaluate.engine import DuckDB
from pipeline.rules.rulebook import RuleBook
from pipeline.settings import Settings
from shared.countries import country_key, is_readable
from tests.pipeline.conftest import FREQUENT, RECENCY


def test_the_real_history(
    real_data: Path, settings: Callable[..., Settings], query: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """A run gives the known kept rows, each rule's matches in Peru, and the answers that differ between segments."""
    run.run(settings(real_data), "test")
    assert query("SELECT rows_in, rows_kept FROM voucher.run") == [(285_570, 213_455)]
    assert query("SELECT count(*) FROM voucher.assignment WHERE country_code = 'Peru'") == [(34_262,)]
    assert query("""SELECT rule.name, matched FROM voucher.rule_outcome JOIN voucher.rule ON rule.name = rule_outcome.rule
        WHERE country_code = 'Peru' AND drop_when IS NOT NULL ORDER BY position""") == [
        ("missing_total_orders", 3_519),
        ("missing_voucher_amount", 819),
        ("zero_orders_with_order_dates", 4_281),
        ("one_order_with_two_dates", 2_243),
    ]
    latvia = {
        segment: (int(amount), basis, tied, runner_up)
        for segment, amount, basis, tied, runner_up in query(
            """SELECT segment, voucher_amount, basis, tied, runner_up_amount FROM voucher.segment
            WHERE country_code = 'Latvia' ORDER BY segment_name, position"""
        )
    }
    assert [latvia[segment][0] for segment in FREQUENT] == [13200, 4400, 4400, 4400]
    assert latvia[RECENCY[0]] == (4400, "segment", True, Decimal(13200))
    assert latvia[RECENCY[3]][:3] == (13200, "segment", False)
    assert latvia[RECENCY[-1]] == (4400, "country", False, None)


@pytest.mark.long
def test_the_rows_behind_each_rule(
    real_data: Path, settings: Callable[..., Settings], query: Callable[..., list[tuple[Any, ...]]], duckdb: DuckDB
) -> None:
    """For each rule and country, as many rows can be listed as the run counted, dropped and matched."""
    run.run(settings(real_data), "test")
    counted = query("SELECT country_code, rule, dropped, matched FROM voucher.rule_outcome")
    rules = RuleBook.load()
    assert len(counted) == len(rules.all_rules) * len({country for country, *_ in counted})
    assert sum(dropped for *_, dropped, _ in counted) == 285_570 - 213_455
    for name in rules.bits:
        for matched in (False, True):
            batches = list(dropped_rows(real_data, rules, name, within=duckdb, matched=matched))
            countries = Counter(
                country_key(country) if country and is_readable(country) else ""
                for batch in batches
                for country in batch["country_code"].to_pylist()
            )
            expected = {country_key(country): counts[matched] for country, rule, *counts in counted if rule == name}
            assert countries == Counter(expected), (name, matched)
            one = next(country for country, *_ in counted if country)
            of_one = dropped_rows(real_data, rules, name, within=duckdb, matched=matched, country=one.upper())
            assert sum(map(len, of_one)) == expected[country_key(one)], (name, matched)
