"""Secrets in addresses are never shown. `make prove secrets` tries 2,000 of them, also in Airflow."""

import logging
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings

from dev.ports import free_port
from pipeline.source import https
from pipeline.source.s3 import SourceUnavailable
from proofs.secrets.addresses import DATABASES, NOTICES, SOURCES, Case, cases
from proofs.secrets.exercise import exercise
from proofs.secrets.targets import Targets, open_targets
from tests.conftest import Bucket

WORD = "hunter2Secret"


@pytest.fixture
def targets(database: str, bucket: Bucket, tmp_path: Path) -> Iterator[Targets]:
    with open_targets(database, tmp_path, bucket.server, bucket.name) as targets:
        yield targets


@pytest.mark.parametrize(
    ("variables", "number"),
    [(DATABASES, 12), (SOURCES, 8), (NOTICES, 8)],
    ids=["databases", "sources", "notices"],
)
def test_no_secret_is_seen(targets: Targets, variables: tuple[str, ...], number: int) -> None:
    """No reader of an address shows a secret in any part of it, even if it is malformed, and valid addresses work."""
    ends: Counter[str] = Counter()

    @seed(8)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases(targets, variables))
    def tried(case: Case) -> None:
        seen = exercise(targets, case)
        assert not seen.leaks(case.secret), (case, seen.text)
        assert not seen.faults, (case, seen.faults)
        ends.update("worked" if code == 0 else "refused" for code in seen.codes)

    tried()
    assert min(ends["worked"], ends["refused"]) >= 2, ends


def test_what_a_library_logs_of_an_address_is_not_seen(caplog: pytest.LogCaptureFixture) -> None:
    """The log does not contain the path and the query of the address, which urllib3 adds to each failed attempt."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceUnavailable) as error:
        https.head(f"http://u:{WORD}@127.0.0.1:{free_port()}/{WORD}/h.parquet?X-Amz-Signature={WORD}")
    assert WORD not in caplog.text + "".join(traceback.format_exception(error.value))
