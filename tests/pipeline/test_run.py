"""The main flow on a real Postgres: what readers see, when they see it, and what they never see."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from boto3.s3.transfer import TransferConfig

from pipeline import run
from pipeline.audits.runner import RunRejected
from pipeline.publish import runs
from pipeline.publish.database import Database, DatabaseError
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.settings import Settings, SettingsError
from pipeline.source.parts import list_parts
from pipeline.source.s3 import SourceError
from tests.conftest import Bucket
from tests.pipeline.conftest import history

Query = Callable[..., list[tuple[Any, ...]]]
Written = Callable[..., Path]
Make = Callable[..., Settings]

FEW = history({}, {"total_orders": "3"}, {"country_code": "Latvia", "voucher_amount": 4400.0})
OTHER = history({"voucher_amount": 3520.0}, {"country_code": "Latvia", "voucher_amount": 4400.0})
ANSWERS = (
    "SELECT run_id, country_code, segment, voucher_amount FROM voucher.segment JOIN voucher.current_run USING (run_id)"
)
COUNTS = """SELECT (SELECT count(*) FROM voucher.run), (SELECT count(*) FROM voucher.assignment),
    (SELECT count(*) FROM voucher.segment), (SELECT count(*) FROM voucher.segment_vote),
    (SELECT sum(uses) FROM voucher.segment_vote), (SELECT count(*) FROM voucher.publication)"""


def test_a_run_publishes_rows_and_answers(settings: Make, written: Written, query: Query, bucket: Bucket) -> None:
    """A run publishes cleaned rows and ten answers per country from an S3 object, and records the publication."""
    uri = bucket.put("history.parquet", written(FEW))
    run_id = run.run(settings(uri), "test")
    assert query("SELECT run_id, status, source, rows_in, rows_kept, today FROM voucher.run") == [
        (run_id, "published", uri, 3, 3, None)
    ]
    assert query("SELECT country_code, count(*) FROM voucher.segment GROUP BY 1 ORDER BY 1") == [
        ("Latvia", 10),
        ("Peru", 10),
    ]
    assert query(
        "SELECT country_code, total_orders, voucher_amount::text, timestamp::text FROM voucher.assignment ORDER BY 1, 2"
    ) == [
        ("Latvia", 12, "4400.00", "2020-05-15 18:59:21.102761+00"),
        ("Peru", 3, "2640.00", "2020-05-15 18:59:21.102761+00"),
        ("Peru", 12, "2640.00", "2020-05-15 18:59:21.102761+00"),
    ]
    assert query("SELECT run_id, previous_run_id, actor FROM voucher.publication") == [(run_id, None, "test")]


def test_an_object_that_was_stored_anew_is_read_once_more(
    settings: Make, written: Written, query: Query, bucket: Bucket
) -> None:
    """The same bytes with another ETag give the same run, and the next plan knows the new ETag."""
    path, once = written(FEW), TransferConfig(multipart_threshold=1)
    uri = bucket.put("history.parquet", path)
    first = run.run(settings(uri), "test")
    bucket.client.upload_file(str(path), bucket.name, "history.parquet", Config=once)
    database = Database(settings(uri).database_url)
    assert runs.known_parts(database, list_parts(uri)) == []
    assert run.run(settings(uri), "test") == first
    assert [part.uri for part in runs.known_parts(database, list_parts(uri))] == [uri]
    assert query("SELECT count(*) FROM voucher.run_part") == [(1,)]


def test_a_run_of_known_parts_writes_no_rows(settings: Make, written: Written, query: Query) -> None:
    """A run of parts that an earlier run loaded uses their rows, and has no partition for `prune` to drop."""
    few = written(FEW, "first.parquet")
    written(OTHER, "second.parquet")
    earlier = run.run(settings(few.parent), "test")
    later = run.run(settings(few), "test")
    assert query("SELECT loaded_by FROM voucher.run_part JOIN voucher.current_run USING (run_id)") == [(earlier,)]
    assert query("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid") == [(f"assignment_{earlier}",)]
    assert query("SELECT rows_kept FROM voucher.run WHERE run_id = %s", later) == [(3,)]


def test_running_again_changes_nothing(settings: Make, written: Written, query: Query) -> None:
    """The same input gives the same run: no second run, no duplicate row, and only `checked_at` changes."""
    path = written(FEW)
    first = run.run(settings(path), "test")
    before, checked = query(COUNTS), query("SELECT published_at, checked_at FROM voucher.current_run")
    assert run.run(settings(path), "test") == first
    assert query(COUNTS) == before
    (published_at, checked_at), (before_published, before_checked) = (
        *query("SELECT published_at, checked_at FROM voucher.current_run"),
        *checked,
    )
    assert published_at == before_published
    assert checked_at > before_checked


def test_every_step_may_be_repeated(settings: Make, written: Written, query: Query) -> None:
    """A repeated step duplicates nothing, whether or not it was interrupted before."""
    config = settings(written(FEW))
    run_id = run.plan(config)
    assert run.plan(config) == run_id
    run.load(config, run_id)
    query("UPDATE voucher.run SET finished_at = NULL RETURNING 1")
    run.load(config, run_id)
    for _ in range(2):
        run.audit(config, run_id)
        run.publish(config, run_id, "test")
        run.prune(config)
    assert query(COUNTS) == [(1, 3, 20, 5, 6, 1)]


def test_nothing_is_seen_before_publish(settings: Make, written: Written, query: Query) -> None:
    """Readers see the complete old run until the complete new run is published."""
    old = run.run(settings(written(FEW)), "test")
    config = settings(written(OTHER, "other.parquet"))
    new = run.plan(config)
    run.load(config, new)
    run.audit(config, new)
    assert {row[0] for row in query(ANSWERS)} == {old}
    run.publish(config, new, "test")
    assert {row[0] for row in query(ANSWERS)} == {new}
    assert query("SELECT run_id, previous_run_id FROM voucher.publication ORDER BY at") == [(old, None), (new, old)]


def test_a_pinned_day_is_another_run(settings: Make, written: Written, query: Query) -> None:
    """TODAY is part of a run's identity and is recorded with the run."""
    path = written(FEW)
    unpinned = run.run(settings(path), "test")
    pinned = run.run(settings(path, today=date(2020, 7, 1)), "test")
    assert pinned != unpinned
    assert query("SELECT today FROM voucher.run JOIN voucher.current_run USING (run_id)") == [(date(2020, 7, 1),)]


def test_a_run_that_has_not_passed_is_never_published(settings: Make, written: Written, query: Query) -> None:
    """`publish` refuses a run that was not audited and a run that was rejected."""
    good, bad = settings(written(FEW)), settings(written(history({"total_orders": "many"}), "bad.parquet"))
    unaudited, rejected = run.plan(good), run.plan(bad)
    run.load(good, unaudited)
    run.load(bad, rejected)
    with pytest.raises(RunRejected):
        run.audit(bad, rejected)
    for config, run_id in ((good, unaudited), (bad, rejected)):
        with pytest.raises(DatabaseError, match=f"run {run_id} has not passed its audits"):
            run.publish(config, run_id, "test")
    assert query("SELECT count(*) FROM voucher.current_run") == [(0,)]


def test_a_rejected_run_is_published_once_the_band_is_widened(
    settings: Make, written: Written, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The analyst's remedy works: with a wider band, the same data is loaded again and published."""
    config = settings(written(history(*[{}] * 20, {"total_orders": "many"})))
    with pytest.raises(RunRejected):
        run.run(config, "test")
    RuleBook(RuleBook.load().rules, unreadable_share=(0, 0.05)).save(tmp_path / "rules.toml")
    monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
    run_id = run.run(config, "test")
    assert query("SELECT run_id, rows_in, rows_kept, status FROM voucher.run") == [(run_id, 21, 20, "published")]


def test_rules_that_change_under_way_stop_the_run(
    settings: Make, written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`load` refuses a run that was planned with other rules."""
    config = settings(written(FEW))
    run_id = run.plan(config)
    RuleBook((Rule("few", "total_orders < 5", "test", (0, 1)),)).save(tmp_path / "rules.toml")
    monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
    with pytest.raises(Exception, match="the rules or segments changed since run"):
        run.load(config, run_id)


@pytest.mark.parametrize("left", [0, -1])
def test_fewer_rules_are_not_published_unasked(
    settings: Make, written: Written, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left: int
) -> None:
    """A rule file that was emptied or cut short is valid, but the first run with it is published only by force."""
    config = settings(written(FEW))
    first = run.run(config, "test")
    rules = RuleBook.load().rules
    fewer = rules[:left]
    RuleBook(fewer).save(tmp_path / "rules.toml")
    monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
    with pytest.raises(
        RunRejected, match=f"rules_remain: {len(fewer)} rules, {len(rules)} in the published run; gone: .*make"
    ):
        run.run(config, "test")
    assert query("SELECT run_id FROM voucher.current_run") == [(first,)]
    shorter = run.run(config, "test", force="the others are obsolete")
    assert query("SELECT run_id FROM voucher.current_run") == [(shorter,)]
    assert run.run(settings(written(OTHER, "other.parquet")), "test") != shorter


def test_no_rules_are_not_published_unasked(
    settings: Make, written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run without rules is rejected, even if nothing is published yet."""
    (tmp_path / "rules.toml").touch()
    monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
    with pytest.raises(RunRejected, match="rules_remain: there is no rule: every row that can be read is kept"):
        run.run(settings(written(FEW)), "test")


def test_a_source_that_changes_under_way_stops_the_run(
    settings: Make, written: Written, query: Query, bucket: Bucket
) -> None:
    """`load` refuses an object that was replaced since the run was planned, and loads nothing."""
    uri = bucket.put("history.parquet", written(FEW))
    run_id = run.plan(settings(uri))
    bucket.put("history.parquet", written(OTHER))
    with pytest.raises(SourceError, match="run again"):
        run.load(settings(uri), run_id)
    assert query("SELECT count(*) FROM voucher.assignment") == [(0,)]


def test_the_rows_of_old_runs_are_dropped(settings: Make, written: Written, query: Query) -> None:
    """Pruning keeps all segments and the last VOUCHER_KEEP_RUNS published runs' rows; a pruned run can be reloaded."""
    ids = []
    for amount in (1.0, 2.0, 3.0):
        path = written(history({"voucher_amount": amount}), f"{amount}.parquet")
        ids.append(run.run(settings(path, keep_runs=2), "test"))
    assert {row[0] for row in query("SELECT DISTINCT loaded_by FROM voucher.assignment")} == set(ids[1:])
    assert query("SELECT count(*) FROM pg_inherits WHERE inhparent = 'voucher.assignment'::regclass") == [(2,)]
    assert query("SELECT count(DISTINCT run_id) FROM voucher.segment") == [(3,)]
    moved = written(history({"voucher_amount": 1.0}), "moved.parquet")
    written(history({"voucher_amount": 9.0}), "1.0.parquet")
    assert run.run(settings(moved, keep_runs=2), "test") == ids[0]
    assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", ids[0]) == [(1,)]


def test_every_edition_of_the_columns_gives_the_same_run(settings: Make, written: Written, query: Query) -> None:
    """Times as text or timestamps, zoned or not, orders as text or numbers, and an extra column give the same rows."""
    later = history({"total_orders": "12"})
    earlier = pa.table(
        {
            "index": [7],
            "timestamp": pa.array(["2020-05-15 18:59:21.102761"]),
            "country_code": pa.array(["Peru"]),
            "last_order_ts": pa.array(["2020-04-15"]),
            "first_order_ts": later["first_order_ts"].cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms")),
            "total_orders": pa.array([12], pa.int32()),
            "voucher_amount": pa.array([2640.0]),
        }
    )
    rows = "SELECT timestamp, country_code, first_order_ts, last_order_ts, total_orders, voucher_amount FROM voucher.assignment"
    run.run(settings(written(later)), "test")
    one = query(rows)
    run.run(settings(written(earlier, "earlier.parquet"), keep_runs=1), "test")
    assert query(rows) == one


def test_a_run_that_is_not_on_record_is_named(pipeline_database: str) -> None:
    """An unknown run_id is an error, not an empty result."""
    with pytest.raises(DatabaseError, match="there is no run 'ffffffffffffffff'"):
        runs.get(Database(pipeline_database), "ffffffffffffffff")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"DATABASE_URL": "host=x"}, "VOUCHER_SOURCE is not set"),
        ({"VOUCHER_SOURCE": "x"}, "DATABASE_URL is not set"),
        (
            {"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_ENV": "production"},
            "PIPELINE_DATABASE_URL is not set, but",
        ),
        ({"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "TODAY": "tomorrow"}, "TODAY is 'tomorrow'"),
        ({"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_KEEP_RUNS": "0"}, "VOUCHER_KEEP_RUNS is '0'"),
        ({"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_MEMORY_MIB": "767"}, "VOUCHER_MEMORY_MIB is '767'"),
        ({"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_MEMORY_MIB": "2G"}, "VOUCHER_MEMORY_MIB is '2G'"),
        ({"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_DASK": "host:8786"}, "VOUCHER_DASK is 'host:8786'"),
        (
            {"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_ROWS": "s3://bucket"},
            "VOUCHER_ROWS is 's3://bucket'",
        ),
        ({"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x", "VOUCHER_ROWS": "/rows/"}, "VOUCHER_ROWS is '/rows/'"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(environ: dict[str, str], message: str) -> None:
    """The error for a missing or invalid setting names the variable."""
    with pytest.raises(SettingsError, match=message):
        Settings.read(environ=environ)


def test_where_and_by_whom_parts_are_loaded_is_set() -> None:
    """Memory, scheduler and prefix (with a / added) are settings; defaults are 1536 MiB, this process and Postgres."""
    least = {"VOUCHER_SOURCE": "x", "DATABASE_URL": "host=x"}
    asked = {"VOUCHER_MEMORY_MIB": "768", "VOUCHER_DASK": "tls://host:8786", "VOUCHER_ROWS": "s3://bucket/rows"}
    found = [Settings.read(environ=environ) for environ in (least, least | asked)]
    assert [(each.memory, each.dask, each.rows) for each in found] == [
        (1536, "", ""),
        (768, "tls://host:8786", "s3://bucket/rows/"),
    ]


def test_a_source_that_moved_is_named_where_it_is_now(settings: Make, written: Written, query: Query) -> None:
    """The same bytes at another address are the same run, recorded with the address where they were found last."""
    run_id = run.run(settings(written(FEW)), "test")
    moved = written(FEW, "moved.parquet")
    assert run.run(settings(moved), "test") == run_id
    assert query("SELECT source FROM voucher.run") == [(str(moved),)]
