"""Long proofs at a small size; `make prove NAME` runs all of one."""

import secrets
from functools import cache
from pathlib import Path

import pytest

from dev.services.postgres import Postgres
from dev.services.s3 import S3
from proofs.parts import dask, parts
from proofs.parts.servers import Servers
from proofs.parts.trial import Fixtures
from proofs.publishing import crash, notices, readers, rollback, runs
from sample.parts import write_parts

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write a synthetic history in parts, and return their paths."""
    return write_parts(tmp_path_factory.mktemp("history") / "days", 60_000, 12)


@pytest.fixture
def servers(tmp_path: Path, postgres: Postgres, s3: S3, template: str) -> Servers:
    bucket = f"proof-{secrets.token_hex(6)}"
    s3.create(bucket)
    return Servers(tmp_path, postgres, s3, template, bucket)


def test_a_kill_at_any_point_leaves_one_whole_run_and_the_next_run_tidies_up(tmp_path: Path) -> None:
    """The pipeline and Postgres are killed in turn, at each boundary of what the pipeline sends to Postgres."""
    with crash.fixtures(tmp_path / "world") as fixtures:
        results = [crash.trial(fixtures, *key) for key in crash.few(fixtures)]
    print(crash.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]


def test_no_reader_sees_an_error_or_a_mixed_answer_while_runs_are_published(tmp_path: Path) -> None:
    """Each connection sees each publish as one switch from one complete run to the other."""
    with readers.fixtures(tmp_path / "world") as fixtures:
        result = readers.trial(fixtures, 0, publishes=10, requests=3_000)
    print(readers.table([result]))
    assert not result.faults
    assert min(result.a, result.b) > 0


def test_a_rollback_under_load_fails_no_request(tmp_path: Path) -> None:
    """A rollback to the previous run, and one forward again, fail no request under load."""
    with rollback.fixtures(tmp_path / "world") as fixtures:
        result = rollback.trial(fixtures, 0)
    print(rollback.table([result]))
    assert not result.faults
    assert result.requests > 0


def test_any_run_on_record_answers_as_it_did_while_it_was_live(tmp_path: Path) -> None:
    """Published, withdrawn, rejected and planned runs answer byte for byte as they do while live, and say what they
    are.
    """
    with runs.fixtures(tmp_path / "world") as fixtures:
        results = [runs.published(fixtures, 3)]
        results += [runs.trial(fixtures, *key) for key in runs.keys(fixtures) if key != results[0].key]
    print(runs.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert not runs.short(results)


def test_a_dask_cluster_gives_what_one_process_gives(servers: Servers, days: list[Path]) -> None:
    """Every table is identical to that of one process, even if a worker is killed while it loads a part."""
    fixtures = dask.Fixtures(servers, {dask.SYNTHETIC: cache(lambda: dask.stored(servers, dask.SYNTHETIC, days))})
    results = [dask.trial(fixtures, *key) for key in dask.keys(fixtures)]
    print(dask.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert not dask.short(results)


@pytest.mark.parametrize("what", [what for (what,) in parts.few()])
def test_each_part_is_read_once(servers: Servers, days: list[Path], tmp_path: Path, what: str) -> None:
    """Each part is read once if parts change, a run is killed, parts can't be read, or cleaned rows go to S3."""
    (tmp_path / "mixed").mkdir()
    result = parts.trial(Fixtures(servers, days, parts.mixed(days[:10], tmp_path / "mixed")), what)
    print(parts.table([result]))
    assert not result.faults


def test_each_publication_is_told_although_the_pipeline_is_killed(tmp_path: Path) -> None:
    """The pipeline is killed around publications, rollbacks, refusals and their notices; the next run tells all."""
    with notices.fixtures(tmp_path / "world") as fixtures:
        results = [notices.trial(fixtures, *key) for key in notices.few(fixtures)]
    print(notices.table(results))
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert any(each.told > each.happened for each in results)
