"""Rollbacks and their record, `plan`, repeated and concurrent runs, and pruning."""

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dev.processes import until
from pipeline import run
from pipeline.audits.runner import RunRejected
from pipeline.publish import pruning, publication
from pipeline.publish.database import SETTINGS, Database, DatabaseError
from pipeline.settings import Settings
from tests.pipeline.conftest import FREQUENT, history

Query = Callable[..., list[tuple[Any, ...]]]
Written = Callable[..., Path]
Make = Callable[..., Settings]
Command = Callable[..., subprocess.CompletedProcess[str]]

STATUS = "SELECT run_id, status FROM voucher.run"
CURRENT = "SELECT run_id FROM voucher.current_run"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'voucher' AND table_type = 'BASE TABLE'"
LOOKED_AT = {"run": ["planned_at"], "current_run": ["checked_at", "decided_at"]}  # columns that a plan updates
MOMENTS = {
    "run": ["planned_at", "started_at", "finished_at"],
    "current_run": ["published_at", "checked_at", "decided_at"],
    "publication": ["at"],
    "notice": ["notice_id", "at"],
}


@pytest.fixture
def pair(settings: Make, written: Written) -> tuple[Settings, Settings, str, str]:
    """Publish two histories with different answers, one after the other; return their settings and run_ids."""
    one, two = (settings(written(history({"voucher_amount": amount}), f"{amount}.parquet")) for amount in (1.0, 2.0))
    return one, two, run.run(one, "test"), run.run(two, "test")


def dump(database: str, without: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the rows of every table as sorted text, without these columns."""
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
        found = {}
        for (table,) in cursor.fetchall():
            gone = [f"'{column}'" for column in without.get(table, [])]
            cursor.execute(f"SELECT (to_jsonb(t) - ARRAY[{', '.join(gone)}]::text[])::text FROM voucher.{table} AS t")
            found[table] = sorted(row[0] for row in cursor.fetchall())
        return found


def test_a_rollback_is_not_undone_at_midnight(
    pair: tuple[Settings, Settings, str, str], query: Query, command: Command
) -> None:
    """The next run of the same data doesn't publish the run that was rolled back from, and logs why."""
    _, newer, first, second = pair
    result = command("rollback", first, "--reason", "Peru complained")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"run {first} is published again, instead of run {second}"
    checked = query("SELECT * FROM voucher.current_run")
    assert run.run(newer, "test") == second
    assert query("SELECT * FROM voucher.current_run") == checked
    assert dict(query(STATUS)) == {first: "published", second: "withdrawn"}
    again = command("run", "--source", newer.source)
    assert again.returncode == 0
    assert f"run {second} was rolled back from at " in again.stdout
    assert "(Peru complained), so it is not published" in again.stdout


def test_a_withdrawn_run_whose_rows_are_gone_is_not_loaded(
    pair: tuple[Settings, Settings, str, str], query: Query, pipeline_database: str
) -> None:
    """A withdrawn run whose rows were pruned stays withdrawn, and its rows are not loaded again."""
    _, newer, first, second = pair
    publication.roll_back(Database(pipeline_database), first, "test", "why")
    assert pruning.prune(Database(pipeline_database), 1) == [second]
    run.run(newer, "test")
    assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", second) == [(0,)]
    assert dict(query(STATUS))[second] == "withdrawn"


@pytest.mark.parametrize("forward", ["rollback", "force"])
def test_forward_again(
    pair: tuple[Settings, Settings, str, str], query: Query, pipeline_database: str, forward: str
) -> None:
    """A rollback or force publishes the withdrawn run again, and the run that it replaces stays `published`."""
    _, newer, first, second = pair
    publication.roll_back(Database(pipeline_database), first, "test", "why")
    if forward == "rollback":
        publication.roll_back(Database(pipeline_database), second, "test", "it was right")
    else:
        run.run(newer, "test", force="it was right")
    assert query(CURRENT) == [(second,)]
    assert dict(query(STATUS)) == {first: "published", second: "published"}
    log = "SELECT run_id, previous_run_id, action, reason FROM voucher.publication ORDER BY at"
    assert query(log) == [
        (first, None, "publish", None),
        (second, first, "publish", None),
        (first, second, "rollback", "why"),
        (second, first, forward, "it was right"),
    ]


def test_back_to_a_run_that_was_withdrawn_before(
    pair: tuple[Settings, Settings, str, str], settings: Make, written: Written, query: Query, pipeline_database: str
) -> None:
    """A rollback from a newer run to a withdrawn one does not go forward: the newer run is withdrawn, and stays so.
    From an older run to a newer one, it does.
    """
    _, _, first, second = pair
    newest = settings(written(history({"voucher_amount": 3.0}), "3.0.parquet"))
    publication.roll_back(Database(pipeline_database), first, "test", "why")
    third = run.run(newest, "test")
    publication.roll_back(Database(pipeline_database), second, "test", "the third is worse")
    assert run.run(newest, "test") == third
    assert query(CURRENT) == [(second,)]
    assert dict(query(STATUS)) == {first: "published", second: "published", third: "withdrawn"}
    for run_id in (first, second, third):
        publication.roll_back(Database(pipeline_database), run_id, "test", "to and fro")
    assert dict(query(STATUS)) == {first: "published", second: "published", third: "published"}


def test_a_rollback_needs_only_the_answers(
    pair: tuple[Settings, Settings, str, str], query: Query, pipeline_database: str
) -> None:
    """A rollback needs only the segments, which are never pruned; the next run of the same data reloads the rows."""
    older, _, first, second = pair
    assert pruning.prune(Database(pipeline_database), 1) == [first]
    assert publication.roll_back(Database(pipeline_database), first, "test", "why") == second
    assert run.run(older, "test") == first
    assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", first) == [(1,)]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("ffffffffffffffff", "there is no run 'ffffffffffffffff'; `python -m pipeline runs` lists them"),
        ("no' OR true --", "there is no run "),
        ("current", "is already published; `python -m pipeline runs` lists the others"),
        ("rejected", r"\(rejected\) was never published, so it can't be rolled back to"),
        ("planned", r"\(loading\) was never published"),
    ],
)
def test_there_is_no_way_to_some_runs(
    pair: tuple[Settings, Settings, str, str],
    settings: Make,
    written: Written,
    query: Query,
    pipeline_database: str,
    which: str,
    message: str,
) -> None:
    """A rollback to an unknown, a current or a never published run is an error, and changes nothing."""
    if which == "rejected":
        with pytest.raises(RunRejected):
            run.run(settings(written(history({"total_orders": "many"}), "bad.parquet")), "test")
        ((which,),) = query("SELECT run_id FROM voucher.run WHERE status = 'rejected'")
    elif which == "planned":
        which = run.plan(settings(written(history({"voucher_amount": 3.0}), "new.parquet")))
    elif which == "current":
        which = pair[3]
    before = query("SELECT * FROM voucher.current_run"), query("SELECT * FROM voucher.publication")
    with pytest.raises(DatabaseError, match=message):
        publication.roll_back(Database(pipeline_database), which, "test", "why")
    assert (query("SELECT * FROM voucher.current_run"), query("SELECT * FROM voucher.publication")) == before


@pytest.mark.parametrize(
    "words", [["rollback", "0" * 16, "--reason", " "], ["rollback", "0" * 16], ["run", "--force", ""]]
)
def test_a_reason_is_needed(command: Command, words: list[str]) -> None:
    """`rollback` and `run --force` require a reason."""
    result = command(*words)
    assert result.returncode == 2
    assert "--reason" in result.stderr or "--force" in result.stderr


def test_runs_and_publications_are_listed(
    pair: tuple[Settings, Settings, str, str], command: Command, pipeline_database: str
) -> None:
    """`runs` lists runs with status and source, marks the published one, and lists who published each run and why."""
    _, _, first, second = pair
    publication.roll_back(Database(pipeline_database), first, "ana", "Peru complained")
    lines = command("runs").stdout.splitlines()
    assert any(line.startswith(f"*   {first}  published") for line in lines), lines
    assert any(line.startswith(f"    {second}  withdrawn") and line.endswith("2.0.parquet") for line in lines), lines
    assert any(line.split()[2:] == [first, second, "ana", "rollback", "Peru", "complained"] for line in lines), lines


def test_before_the_first_run_the_next_step_is_named(command: Command) -> None:
    """`runs` names the command that creates the first run if there is none."""
    assert command("runs").stdout.splitlines()[-1] == "no run yet; `python -m pipeline run` creates one"


def test_plan_shows_what_would_change_and_changes_nothing(
    settings: Make, written: Written, query: Query, command: Command
) -> None:
    """`plan` shows rules, counts and answers with votes, old → new; then `run` publishes without loading again."""
    first = run.run(settings(written(history(*[{}] * 9, {"total_orders": "1"}))), "test")
    new = written(history(*[{"voucher_amount": 3520.0}] * 9, {"total_orders": None}), "new.parquet")
    result = command("plan", "--source", str(new))
    assert result.returncode == 0, result.stderr
    assert "missing_total_orders          0 → 1      0 → 1" in result.stdout
    assert "one_order_with_two_dates      1 → 0      1 → 0" in result.stdout
    assert "10 of 10 answers differ" in result.stdout
    line = next(line for line in result.stdout.splitlines() if f" {FREQUENT[1]} " in line)
    assert line.split() == [
        "Peru",
        "frequent_segment",
        FREQUENT[1],
        "orders",
        "2640",
        "(9",
        "of",
        "9)",
        "→",
        "3520",
        "(9",
        "of",
        "9)",
    ]
    assert f"{FREQUENT[0]} orders " in result.stdout
    assert "2640 (no votes, the country's)" in result.stdout
    assert query(CURRENT) == [(first,)]
    ((loaded,),) = query("SELECT finished_at FROM voucher.run WHERE run_id <> %s", first)
    assert command("run", "--source", str(new)).returncode == 0
    assert query("SELECT finished_at FROM voucher.run JOIN voucher.current_run USING (run_id)") == [(loaded,)]


def test_plan_of_what_is_refused_shows_both(settings: Make, written: Written, query: Query, command: Command) -> None:
    """If an audit fails, `plan` still shows the changes, prints the reason and exits with 1."""
    first = run.run(settings(written(history({}, {"country_code": "Latvia"}))), "test")
    result = command("plan", "--source", str(written(history({}), "new.parquet")))
    assert result.returncode == 1
    assert re.search(
        rf"Latvia +frequent_segment +{FREQUENT[0]} orders +2640 \(no votes, the country's\) +→ +no answer",
        result.stdout,
    )
    assert "countries_remain: Latvia has no answer any more" in result.stderr
    assert query(CURRENT) == [(first,)]


def test_plan_of_what_is_published(pair: tuple[Settings, Settings, str, str], command: Command) -> None:
    """`plan` of the published run says in one line that nothing would change."""
    result = command("plan", "--source", pair[1].source)
    assert f"run {pair[3]} is the published one: nothing would change" in result.stdout


def test_the_same_run_three_times_is_one(settings: Make, written: Written, database: str) -> None:
    """A repeated run leaves every table unchanged, except for the times of the last look at the source."""
    run.run(settings(written(history({"voucher_amount": 1.0}), "old.parquet")), "test")
    path = written(history(*({"total_orders": str(orders % 40)} for orders in range(20_000))))
    run.run(settings(path), "test")
    once = dump(database, LOOKED_AT)
    for _ in range(2):
        run.run(settings(path), "test")
        assert dump(database, LOOKED_AT) == once


def test_two_at_once_are_one_run(
    settings: Make, written: Written, database: str, process: Command, query: Query
) -> None:
    """Two simultaneous first runs of a source both succeed, and give the same tables as one run."""
    path = written(history(*({"total_orders": str(orders % 40)} for orders in range(20_000))))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: process("run", "--source", str(path)), range(2)))
    assert [result.returncode for result in results] == [0, 0], [result.stderr for result in results]
    both = dump(database, MOMENTS)
    query("TRUNCATE voucher.run, voucher.part RESTART IDENTITY CASCADE; SELECT 1")
    (run_id,) = (name.removeprefix("assignment_") for name in both if name.startswith("assignment_"))
    query(f"DROP TABLE voucher.assignment_{run_id}; SELECT 1")
    run.run(settings(path), "root")
    assert dump(database, MOMENTS) == both


def test_one_works_and_the_other_waits(
    settings: Make, written: Written, database: str, pipeline_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A second run logs that it waits, and continues when the first one's step ends."""
    caplog.set_level("INFO")
    config = settings(written(history({})))
    with ThreadPoolExecutor(1) as pool:
        with Database(pipeline_database).exclusive():
            second = pool.submit(run.run, config, "test")
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:

                def waits() -> bool:
                    cursor.execute(waiting)
                    return cursor.fetchone() == (1,)

                assert until(waits, 20)
            assert not second.done()
            assert "another run is changing these tables; waiting" in caplog.text
        assert second.result(timeout=60) == publication.current(Database(pipeline_database))


def test_what_anothers_prune_took_is_loaded_again(
    settings: Make, written: Written, query: Query, pair: tuple[Settings, Settings, str, str]
) -> None:
    """A run whose rows another run pruned between two of its steps loads them again and is published."""
    for step in ("audit", "publish"):
        overtaker = run.plan(pair[0])
        slow = settings(written(history({"voucher_amount": 7.0}, {"total_orders": str(len(step))}), f"{step}.parquet"))
        run_id = run.plan(slow)
        run.load(slow, run_id)
        if step == "publish":
            run.audit(slow, run_id)
        run.audit(pair[0], overtaker)
        run.publish(pair[0], overtaker, "test")
        run.prune(pair[0])
        assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", run_id) == [(0,)]
        run.audit(slow, run_id) if step == "audit" else None
        run.publish(slow, run_id, "test")
        assert query(CURRENT) == [(run_id,)]
        assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", run_id) == [(2,)]


def test_a_load_that_is_cut_off_does_not_count_as_loaded(
    settings: Make, written: Written, query: Query, pipeline_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted load does not count as loaded, even if the run was loaded before, and pruned."""
    older, newer = (
        settings(written(history({"voucher_amount": amount}), f"{amount}.parquet")) for amount in (1.0, 2.0)
    )
    first, _ = run.run(older, "test"), run.run(newer, "test")
    pruning.prune(Database(pipeline_database), 1)

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run.steps.tables, "write_part", cut)
        run.run(older, "test")
    assert run.run(older, "test") == first
    assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", first) == [(1,)]
    assert query(CURRENT) == [(first,)]


def test_the_rows_of_the_published_run_cannot_be_dropped(
    pair: tuple[Settings, Settings, str, str], query: Query
) -> None:
    """The function that drops partitions refuses to drop the published run's rows, even for the owner."""
    with pytest.raises(psycopg2.errors.RaiseException, match="the published run needs the rows of run"):
        query("SELECT voucher.drop_partition(%s)", pair[3])


def test_a_reader_that_holds_on_to_rows_is_not_waited_for_forever(
    pair: tuple[Settings, Settings, str, str], database: str, pipeline_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`prune` gives up with the reason, so that sessions behind it don't wait; the next `prune` does the work."""
    monkeypatch.setitem(SETTINGS, "lock_timeout", "1s")
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM voucher.assignment")
        with pytest.raises(DatabaseError, match=r"another session has locked a table .*lock timeout"):
            pruning.prune(Database(pipeline_database), 1)
    assert pruning.prune(Database(pipeline_database), 1) == [pair[2]]
