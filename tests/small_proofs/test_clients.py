"""The proof `clients` at a small size: one generator of the four; `make prove clients` runs them all."""

from pathlib import Path

import pytest

from proofs.document import generated, generators

pytestmark = pytest.mark.long


def test_a_generated_client_gets_what_plain_http_gets(tmp_path: Path) -> None:
    """Made from the document without a warning, with a key and under a prefix, it calls every operation."""
    with generated.fixtures(tmp_path / "world") as fixtures:
        try:
            result = generated.trial(fixtures, "openapi-python-client")
        except generators.ToolMissingError as error:
            pytest.skip(str(error))
    print(generated.table([result]))
    assert not result.faults
