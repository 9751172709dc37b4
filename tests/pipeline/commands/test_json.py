"""`runs`, `run` and `rollback` with --json, the statuses that they show, and the shortened id of a run."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from pipeline.__main__ import REFUSED
from pipeline.publish.database import Database, DatabaseError
from pipeline.publish.listing import find_id
from tests.pipeline.conftest import FREQUENT, RECENCY, history

Command = Callable[..., CompletedProcess[str]]
Query = Callable[..., list[tuple[Any, ...]]]
ANSWERS = len(FREQUENT) + len(RECENCY)


@pytest.fixture
def made(command: Command, written: Callable[..., Path]) -> Callable[..., Any]:
    """Return a function that runs a command with --json on a history, and returns the result."""

    def call(name: str, *rows: dict[str, Any], words: tuple[str, ...] = ()) -> Any:
        source = written(history(*rows), f"{len(rows)}-{rows[0]['voucher_amount']}.parquet")
        result = command(name, "--json", "--source", str(source), *words)
        assert result.returncode == 0, result.stderr
        assert "plan: run " in result.stderr
        return json.loads(result.stdout)

    return call


def amount(value: float) -> dict[str, Any]:
    return {"voucher_amount": value}


def test_run_tells_what_it_published(made: Callable[..., Any]) -> None:
    """`run --json` writes the run, its status, what it replaced, and how many answers differ; the log is on stderr."""
    first = made("run", amount(1.0))
    at = datetime.fromisoformat(first["published"].pop("at"))
    assert at.tzinfo
    counts = {"rows_in": 1, "rows_kept": 1, "answers": ANSWERS, "differing": ANSWERS}
    assert first == {
        "run_id": first["run_id"],
        "status": "published",
        "current": True,
        "published": {"previous_run_id": None, **counts},
    }
    second = made("run", amount(1.0), amount(1.0))
    assert (second["published"]["previous_run_id"], second["published"]["differing"]) == (first["run_id"], 0)
    again = made("run", amount(1.0), amount(1.0))
    assert again == {"run_id": second["run_id"], "status": "published", "current": True, "published": None}


def test_run_that_publishes_nothing(made: Callable[..., Any], command: Command, written: Callable[..., Path]) -> None:
    """A withdrawn run has its status and no publication. A refused one has its result too, and is an error."""
    first, second = made("run", amount(1.0)), made("run", amount(2.0))
    result = command("rollback", first["run_id"][:6], "--reason", "x", "--json")
    assert json.loads(result.stdout) == {"run_id": first["run_id"], "previous_run_id": second["run_id"]}
    assert f"run {first['run_id']} is published again" in result.stderr
    assert made("run", amount(2.0)) == {
        "run_id": second["run_id"],
        "status": "withdrawn",
        "current": False,
        "published": None,
    }
    bad = written(history({"total_orders": "many"}), "bad.parquet")
    refused = command("run", "--json", "--source", str(bad))
    rejected = json.loads(refused.stdout)
    assert (refused.returncode, rejected["status"], rejected["published"]) == (REFUSED, "rejected", None)
    assert "error: run " in refused.stderr


def test_only_a_refused_run_has_its_own_exit_code(
    command: Command, written: Callable[..., Path], tmp_path: Path
) -> None:
    """A scheduler tells a refusal, which it need not repeat, from an error. `plan` of the same run refuses nothing."""
    bad = str(written(history({"total_orders": "many"}), "bad.parquet"))
    codes = [
        command(name, "--source", source).returncode
        for name, source in (("run", bad), ("plan", bad), ("run", str(tmp_path / "none.parquet")))
    ]
    assert codes == [3, 1, 1]


def test_runs_lists_both(made: Callable[..., Any], command: Command, query: Query) -> None:
    """`runs --json` has runs and publications, newest first, with times in UTC; a loaded run is `planned`."""
    assert json.loads(command("runs", "--json").stdout) == {"runs": [], "publications": []}
    first = made("run", amount(1.0))["run_id"]
    planned = made("plan", amount(2.0))["planned"]["run_id"]
    loading = made("plan", amount(3.0))["planned"]["run_id"]
    query("UPDATE voucher.run SET finished_at = NULL WHERE run_id = %s RETURNING 1", loading)
    found = json.loads(command("runs", "--json", "--limit", "9").stdout)
    assert [(run["run_id"], run["current"], run["status"]) for run in found["runs"]] == [
        (loading, False, "loading"),
        (planned, False, "planned"),
        (first, True, "published"),
    ]
    newest = found["runs"][1]
    assert (newest["rows_in"], newest["published_at"], newest["sample"]) == (1, None, False)
    assert newest["data_to"] == "2020-05-15T18:59:21.102761Z"
    (published,) = found["publications"]
    assert datetime.fromisoformat(published.pop("at")).tzinfo
    actor = published.pop("actor")
    assert actor
    assert published == {"run_id": first, "previous_run_id": None, "action": "publish", "reason": None}
    table = command("runs").stdout.splitlines()
    assert any(line.split()[:2] == [planned, "planned"] for line in table)
    assert any(line.split()[:2] == [loading, "loading"] for line in table)


def test_a_limit_is_a_positive_number(command: Command) -> None:
    """A limit below 1 is an error that names the value."""
    result = command("runs", "--limit", "-1")
    assert result.returncode == 2
    assert "is '-1', but must be a whole number of at least 1" in result.stderr


def test_a_shortened_id(query: Query, pipeline_database: str) -> None:
    """Six or more digits find the run, in upper case and with spaces too; fewer, or two runs, are errors."""
    ids = ["abcdef0123456789", "abcdef0aaaaaaaaa", "0123450000000000"]
    for run_id in ids:
        query(
            """INSERT INTO voucher.run (run_id, source, rules_hash, segments_hash, planned_at, started_at, status)
            VALUES (%s, '', '', '', now(), now(), 'loading') RETURNING 1""",
            run_id,
        )
    database = Database(pipeline_database)
    for text, found in (
        ("012345", ids[2]),
        (" ABCDEF01 ", ids[0]),
        (ids[0].upper(), ids[0]),
        ("fffffff", "fffffff"),
        ("f" * 16, "f" * 16),
        ("nonsense", "nonsense"),
    ):
        assert find_id(database, text) == found, text
    with pytest.raises(
        DatabaseError, match=r"2 runs begin with 'abcdef': abcdef0123456789, abcdef0aaaaaaaaa; name one"
    ):
        find_id(database, "abcdef")
    for text in ("a", "01234"):
        with pytest.raises(
            DatabaseError, match=f"'{text}' is too short for a run's id; give its first 6 digits or more"
        ):
            find_id(database, text)
