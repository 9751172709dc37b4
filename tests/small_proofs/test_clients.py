"""The proof `clients` at a small size: one of the four generators. `make prove clients` runs all of them."""

from pathlib import Path

import pytest

from proofs.document import generated, generators

pytestmark = pytest.mark.long


def test_a_generated_client_gets_what_plain_http_gets(tmp_path: Path) -> None:
    """A client generated without a warning calls every operation, with a key and under a prefix, with equal results."""
    with generated.fixtures(tmp_path / "world") as fixtures:
        try:
            result = generated.trial(fixtures, "openapi-python-client")
        except generators.ToolMissingError as error:
            pytest.skip(str(error))
    print(generated.table([result]))
    assert not result.faults
