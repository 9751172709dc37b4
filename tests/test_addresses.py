"""An address as people are shown it."""

import pytest

from shared.addresses import shown


@pytest.mark.parametrize(
    "address",
    [
        *("https://u:hunter2@host:8443/hunter2/x.parquet?signature=hunter2", "https://host/", "https://host"),
        *("s3://bucket/year=2020/*.parquet", "s3://key:hunter2@bucket/x", "postgresql://u:hunter2@host/db"),
        *("/data/h.parquet", "/data/year=2020/", "C:/data/h.parquet", "file:///data/h.parquet", "tcp://host:8786"),
    ],
)
def test_what_was_shown_is_shown_the_same(address: str) -> None:
    """An address from a table, where it stands as it is shown, reads there as it does anywhere else."""
    once = shown(address)

    assert shown(once) == once
    assert "hunter2" not in once
