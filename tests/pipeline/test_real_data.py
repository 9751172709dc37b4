"""The real history, on machines that have it: counts and answers that were calculated independently."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline import run
from pipeline.settings import Settings
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
