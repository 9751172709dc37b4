"""Messages of the command line: what happened, and what to do next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import SAMPLE_MARK, run
from pipeline.__main__ import main
from pipeline.publish import publication
from pipeline.publish.database import Database
from pipeline.settings import Settings
from tests.conftest import Bucket
from tests.pipeline.conftest import history

Make = Callable[..., Settings]
Written = Callable[..., Path]
Query = Callable[..., list[tuple[Any, ...]]]
Say = Callable[..., list[str]]


@pytest.fixture
def say(pipeline_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Say:
    """Return a function that runs a command, asserts its exit code, and returns the lines that it logs."""
    monkeypatch.setenv("PIPELINE_DATABASE_URL", pipeline_database)
    caplog.set_level("INFO", "pipeline")

    def say(*words: str, code: int = 0) -> list[str]:
        caplog.clear()
        assert main(words) == code
        return [line for message in caplog.messages for line in message.splitlines()]

    return say


@pytest.fixture
def pair(settings: Make, written: Written) -> tuple[Path, Path, str, str]:
    """Publish two histories, one after the other; return their paths and run_ids."""
    first, second = (
        written(history({"voucher_amount": float(amount)}), f"{amount}.parquet") for amount in (2640, 3520)
    )
    return first, second, run.run(settings(first), "test"), run.run(settings(second), "test")


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_withdrawn_run_is_said_to_stay_so(
    pair: tuple[Path, Path, str, str], pipeline_database: str, say: Say, command: str
) -> None:
    """The rollback is logged once, the last line says that the run is not published, and no line says otherwise."""
    _, second, older, newer = pair
    publication.roll_back(Database(pipeline_database), older, "ana", "wrong amounts")

    lines = say(command, "--source", str(second))

    assert len([line for line in lines if "was rolled back from at" in line]) == 1
    assert f"run {newer} is not published, because it was withdrawn by a rollback" in lines[-1]
    assert not [line for line in lines if "publish it with" in line or "is done" in line]


def test_plan_says_how_it_is_published(pair: tuple[Path, Path, str, str], written: Written, say: Say) -> None:
    """`plan` ends with the command that publishes the given source; for the published run it names no such command."""
    new = written(history({"voucher_amount": 1.0}), "a new one.parquet")

    lines = say("plan", "--source", str(new))

    assert lines[-1] == f"nothing is published; publish it with `python -m pipeline run --source '{new}'`"
    assert not [line for line in say("plan", "--source", str(pair[1])) if "publish it with" in line]


def test_plan_counts_files_as_a_person_does(bucket: Bucket, written: Written, say: Say) -> None:
    """`plan` logs the number of files, how many it read now, their size, and whether the rows are the sample's."""

    def plan() -> str:
        return next(line for line in say("plan", "--source", f"s3://{bucket.name}/h/") if " file" in line)

    one = written(history({}, {}))
    sample = written(history({}).replace_schema_metadata(dict([SAMPLE_MARK])), "sample.parquet")
    size = f"{one.stat().st_size / 1024:.1f} KiB"

    bucket.put("h/1.parquet", one)
    assert plan() == f"plan: 1 file (read now), {size}, 2 rows"
    assert plan() == f"plan: 1 file (already read), {size}, 2 rows"
    bucket.put("h/2.parquet", sample)
    size = f"{(one.stat().st_size + sample.stat().st_size) / 1024:.1f} KiB"
    assert plan() == f"plan: 2 files (1 read now), {size}, 3 rows"
    bucket.put("h/1.parquet", sample)
    assert plan().endswith(", 2 rows of the built-in synthetic sample")


def test_what_is_skipped_is_said_once(written: Written, say: Say) -> None:
    """The line of a skipped audit gives the reason, and says only once that the audit is skipped."""
    lines = say("run", "--source", str(written(history({}))))

    assert [line.split()[2:] for line in lines if "countries_remain" in line] == [
        ["skipped", "nothing", "is", "published"]
    ]


def test_a_planned_run_is_listed_as_planned(pair: tuple[Path, Path, str, str], written: Written, say: Say) -> None:
    """`runs` lists a run that is loaded but not published as planned, and marks the sample beside its address."""
    sample = history({"voucher_amount": 1.0}).replace_schema_metadata(dict([SAMPLE_MARK]))
    say("plan", "--source", str(written(sample, "sample.parquet")), code=1)
    say("plan", "--source", str(written(history({"voucher_amount": 2.0}), "planned.parquet")))

    lines = say("runs")

    assert any("planned " in line and line.endswith("planned.parquet") for line in lines), lines
    assert any(line.endswith("sample.parquet (synthetic sample)") for line in lines), lines
    assert not [line for line in lines if "loading" in line]


@pytest.mark.parametrize("digits", [6, 7, 15, 16])
def test_a_run_is_named_by_its_first_digits(
    pair: tuple[Path, Path, str, str], query: Query, say: Say, digits: int
) -> None:
    """Six or more first digits of a run_id name the run, as the page and the comparison show it."""
    first = pair[2]

    assert say("rollback", first[:digits], "--reason", "test")[-1].startswith(f"run {first} is published again")

    assert query("SELECT run_id FROM voucher.current_run") == [(first,)]


def test_first_digits_of_several_runs_name_none(
    pair: tuple[Path, Path, str, str],
    settings: Make,
    written: Written,
    query: Query,
    say: Say,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error for ambiguous digits lists all their runs; fewer than six digits, or other text, name no run."""
    twin = pair[2][:6] + "0" * 10
    query(
        """INSERT INTO voucher.run SELECT (jsonb_populate_record(run, jsonb_build_object('run_id', %s::text))).*
        FROM voucher.run WHERE run_id = %s RETURNING 1""",
        *(twin, pair[2]),
    )

    say("rollback", pair[2][:6], "--reason", "test", code=1)
    assert f"2 runs begin with '{pair[2][:6]}': " in (said := capsys.readouterr().err)
    assert pair[2] in said
    assert twin in said
    say("rollback", pair[2][:5], "--reason", "test", code=1)
    assert f"'{pair[2][:5]}' is too short for a run's id; give its first 6 digits" in capsys.readouterr().err
    for text in ("%", "______", "0" * 6):
        say("rollback", text, "--reason", "test", code=1)
        assert f"there is no run {text!r}" in capsys.readouterr().err
    assert query("SELECT run_id FROM voucher.current_run") == [(pair[3],)]
