"""A receiver of notices, and two histories whose runs differ in one answer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proofs.support.notice_receiver import NoticeReceiver
from tests.pipeline.conftest import FREQUENT, history

MANY = [{"total_orders": "90", "voucher_amount": 100.0}] * 3  # the country's most used amount
PAGE = "https://vouchers.example/de"


def few(amount: float) -> list[dict[str, object]]:
    """Return the rows of a history in which this amount is the answer to customers with 3 orders."""
    return [{"total_orders": "3", "voucher_amount": amount}, {"total_orders": "3", "voucher_amount": amount}, *MANY]


def answer(old: float | None, new: float | None) -> dict[str, object]:
    """Return the changed answer of a notice: to customers with few orders in Peru."""
    return {
        "country": "Peru",
        "kind": "frequent_segment",
        "customers": f"{FREQUENT[0]} orders",
        "old": old,
        "new": new,
    }


@pytest.fixture
def receiver() -> Iterator[NoticeReceiver]:
    with NoticeReceiver.open() as receiver:
        yield receiver


@pytest.fixture
def source(written: Callable[..., Path]) -> Callable[..., str]:
    """Return a function that writes a history and returns its address: `few` of this amount, or these rows."""

    def write(amount: float, *rows: dict[str, object]) -> str:
        return str(written(history(*(rows or few(amount))), f"{amount}-{len(rows)}.parquet"))

    return write


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses before further attempts short."""
    monkeypatch.setattr("pipeline.notices.delivery.PAUSES", (0.01, 0.01))
