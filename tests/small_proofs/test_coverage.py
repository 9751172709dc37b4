"""The proof of the intervals, at its full size, because it takes seconds; `make prove coverage` prints its table."""

from pathlib import Path

import pytest

from proofs.evidence import coverage

pytestmark = pytest.mark.long


def test_the_intervals_cover_what_they_claim_to(tmp_path: Path) -> None:
    """The intervals by send cover the truth, on a history and in worlds with and without correlation within a send."""
    with coverage.fixtures(tmp_path) as history:
        results = [coverage.trial(history, *key) for key in coverage.keys(history)]
    print(coverage.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert results[-1].by_row < 0.5, "intervals that count vouchers as independent should fail here"
