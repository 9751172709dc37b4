"""The proof `fuzz` at a small size; `make prove fuzz` runs all of it."""

from pathlib import Path

import pytest

from proofs.document import fuzz

pytestmark = pytest.mark.long


def test_whatever_is_made_from_the_document_is_answered_as_the_document_says(tmp_path: Path) -> None:
    """The running server answers as the document says, with and without keys: no 5xx, and refusals are problems."""
    with fuzz.fixtures(tmp_path / "world") as fixtures:
        results = [fuzz.trial(fixtures, *key, examples=40) for key in fuzz.keys(fixtures)[:2]]
    print(fuzz.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert not fuzz.short(results, cases=1_000)
