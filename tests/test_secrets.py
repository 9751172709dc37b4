"""No secret of an address is seen anywhere; `make prove secrets` tries 2,000 of them, in Airflow too."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.conftest import Bucket
from tests.secret_addresses import DATABASES, SOURCES, Case, World, cases, exercise, world_of


@pytest.fixture
def world(database: str, bucket: Bucket, tmp_path: Path) -> Iterator[World]:
    with world_of(database, tmp_path, bucket.server, bucket.name) as world:
        yield world


@pytest.mark.parametrize(("variables", "number"), [(DATABASES, 50), (SOURCES, 30)], ids=["databases", "sources"])
def test_no_secret_is_seen(world: World, variables: tuple[str, ...], number: int) -> None:
    """Wherever it stands in whichever address, mistyped or not, and whatever reads that; and what is right works."""
    ends: Counter[str] = Counter()

    @seed(8)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases(world, variables))
    def tried(case: Case) -> None:
        seen = exercise(world, case)
        assert not seen.leaks(case.secret), (case, seen.text)
        assert not seen.faults, (case, seen.faults)
        ends.update("worked" if code == 0 else "refused" for code in seen.codes)

    tried()
    assert min(ends["worked"], ends["refused"]) >= 5, ends
