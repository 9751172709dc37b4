"""The proof `ofrep` at a small size; `make prove ofrep` runs all of it."""

from pathlib import Path

import pytest

from proofs.document import ofrep

pytestmark = pytest.mark.long


def test_whatever_is_made_from_the_protocols_document_is_answered_as_it_says(tmp_path: Path) -> None:
    """The running service answers as the document of OpenFeature's protocol says: no 5xx, and refusals in its form."""
    with ofrep.fixtures(tmp_path / "world") as fixtures:
        results = [ofrep.trial(fixtures, *ofrep.keys(fixtures)[0], examples=150)]
    print(ofrep.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert not ofrep.short(results, cases=200)
