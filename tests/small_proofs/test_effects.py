"""The proof of outcomes and policies at a small size; `make prove effects` runs all of it."""

from pathlib import Path

import pytest

from proofs.evidence import effects

pytestmark = pytest.mark.long


def test_the_intervals_of_outcomes_cover_and_a_misleading_history_recommends_nothing(tmp_path: Path) -> None:
    """Intervals of outcomes and policies cover the truth, and without propensities nothing is chosen by effect."""
    with effects.fixtures(tmp_path) as nothing:
        results = [effects.trial(nothing, *key, resamples=100) for key in effects.few(nothing)]
    print(effects.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert not effects.short(results)
