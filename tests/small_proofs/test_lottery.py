"""The proof of the lottery at a small size; `make prove lottery` runs all of it."""

from pathlib import Path

import pytest

from proofs.evidence import lottery

pytestmark = pytest.mark.long


def test_each_customer_keeps_an_arm_and_each_arm_has_its_share(tmp_path: Path) -> None:
    """Arms have their shares, and an id has the same one in all workers, in bulk, after a restart and in a new run."""
    with lottery.fixtures(tmp_path / "served") as served:
        results = [
            lottery.trial(served, *key, ids=100_000, in_bulk=4_000, one_by_one=300) for key in lottery.keys(served)
        ]
    print(lottery.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
