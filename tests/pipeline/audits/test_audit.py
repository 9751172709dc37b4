"""Each audit fails on the fault that it checks for, reports it, and leaves the published answers as they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import SAMPLE_MARK, run
from pipeline.audits.runner import AUDITS, RunRejected
from pipeline.audits.side_by_side import HASH_JOINS, parameters
from pipeline.publish.changes.compare import changes
from pipeline.publish.database import Database
from pipeline.publish.publication import current
from pipeline.rules.rulebook import RuleBook
from pipeline.settings import Settings
from tests.pipeline.conftest import FREQUENT, RECENCY, history

Query = Callable[..., list[tuple[Any, ...]]]
Written = Callable[..., Path]
Make = Callable[..., Settings]

RULES = [rule.name for rule in RuleBook.load().rules]
LATVIA = {"country_code": "Latvia", "voucher_amount": 4400.0}
GOOD = history(*[{}] * 10, *[LATVIA] * 10)
SAMPLE = GOOD.replace_schema_metadata(dict([SAMPLE_MARK]))
ANSWERS = """SELECT run_id, country_code, segment_name, segment, voucher_amount, uses FROM voucher.segment
    JOIN voucher.current_run USING (run_id) ORDER BY country_code, segment_name, segment"""
OUTCOME = "SELECT severity, passed, seen FROM voucher.audit_outcome WHERE run_id = %s AND audit = %s"

# Files that fail an audit: the audit, the rows, and the message.
FILES = {
    "rule_shares": (
        history(*[{}] * 10, *[LATVIA] * 10, {"total_orders": None, "country_code": "Narnia"}, *[{"total_orders": None}] * 4),
        r"missing_total_orders matched 5 of 25 rows \(20 %\), expected 0 to 15 %, "
        r"e\.g\. {.*'country_code': Narnia, .*'total_orders': NULL.*} and {.*'country_code': Peru.*Correct the data",
    ),
    "rows_kept": (history(*[{"total_orders": None}] * 3), r"rows_kept: none of 3 rows is kept"),
    "countries_remain": (
        history(*[{}] * 20),
        r"countries_remain: Latvia has no answer any more\. If this is intended, .* --force REASON`",
    ),
    "newest_assignment": (
        history(*[{"timestamp": "2020-05-15 18:59:20"}] * 10, *[LATVIA | {"timestamp": "2020-05-14"}] * 10),
        r"the newest assignment is of 2020-05-15 18:59:20\+00, that of the published run of 2020-05-15 18:59:21\.102761",
    ),
}  # fmt: skip

# Faults that no file can cause, made between load and audit: the audit, a statement with %s for the run, the message.
TAMPERED = {
    "sample_stays_out": (
        "UPDATE voucher.part SET synthetic = true FROM voucher.run_part WHERE run_id = %s "
        "AND run_part.part_id = part.part_id RETURNING 1",
        r"sample_stays_out: 1 of 1 files are the built-in sample\. Set VOUCHER_SOURCE to the history",
    ),
    "rules_remain": (
        f"DELETE FROM voucher.rule WHERE run_id = %s AND name = '{RULES[-1]}' RETURNING 1",
        rf"rules_remain: {len(RULES) - 1} rules, {len(RULES)} in the published run; gone: {RULES[-1]}\. `make rules` writes",
    ),
    "kinds_remain": (
        "DELETE FROM voucher.segment WHERE run_id = %s AND segment_name = 'recency_segment' RETURNING 1",
        r"kinds_remain: there is no recency_segment any more",
    ),
    "rows_balance": (
        "UPDATE voucher.run SET rows_in = 30 WHERE run_id = %s RETURNING 1",
        r"rows_balance: 30 rows in, 21 kept, 0 dropped\. The tables differ from what the software wrote",
    ),
    "rows_balance, by kind": (
        "DELETE FROM voucher.unplaced WHERE run_id = %s AND segment_name = 'recency_segment' RETURNING 1",
        r"rows_balance: recency_segment: 21 rows kept, 20 votes and unplaced",
    ),
    "rows_loaded": (
        "UPDATE voucher.loaded_part SET rows_kept = 10 WHERE loaded_by = %s RETURNING 1",
        r"rows_loaded: 21 rows kept, 10 loaded",
    ),
    "segments_complete": (
        f"DELETE FROM voucher.segment WHERE run_id = %s AND country_code = 'Peru' AND segment = '{FREQUENT[1]}' RETURNING 1",
        rf"Peru has no segment {FREQUENT[1]} of frequent_segment; Peru: segment {FREQUENT[0]} of frequent_segment ends at 4, and the next "
        r"begins at 14",
    ),
    "segments_complete, none": (
        "DELETE FROM voucher.segment WHERE run_id = %s RETURNING 1",
        r"segments_complete: Latvia has no frequent_segment; .*; Peru has no recency_segment",
    ),
    "segments_complete, first": (
        f"UPDATE voucher.segment SET lower_bound = 1 WHERE run_id = %s AND segment = '{RECENCY[0]}' RETURNING 1",
        rf"Peru: the first segment of recency_segment, {RECENCY[0]}, begins at 1, not at 0",
    ),
    "segments_complete, overlap": (
        f"UPDATE voucher.segment SET upper_bound = 15 WHERE run_id = %s AND segment = '{FREQUENT[1]}' RETURNING 1",
        rf"Peru: segment {FREQUENT[1]} of frequent_segment ends at 15, and the next begins at 14",
    ),
    "segments_complete, open": (
        f"UPDATE voucher.segment SET upper_bound = 99 WHERE run_id = %s AND segment = '{FREQUENT[-1]}' RETURNING 1",
        r"Peru: segment 38\+ of frequent_segment ends at 99, and the next begins at none",
    ),
    "answers_by_votes": (
        f"UPDATE voucher.segment SET voucher_amount = 1 WHERE run_id = %s AND segment = '{FREQUENT[1]}' RETURNING 1",
        rf"answers_by_votes: Latvia frequent_segment {FREQUENT[1]}: published 1\.00 \(10 of 10\), by its votes 4400\.00 \(10 of 10\)",
    ),
    "answers_by_votes, uses": (
        f"UPDATE voucher.segment SET uses = uses + 1 WHERE run_id = %s AND segment = '{RECENCY[1]}' RETURNING 1",
        rf"Peru recency_segment {RECENCY[1]}: published 2640\.00 \(11 of 10\), by its votes 2640\.00 \(10 of 10\)",
    ),
    "answers_by_votes, tie": (
        f"UPDATE voucher.segment SET tied = true WHERE run_id = %s AND segment = '{FREQUENT[1]}' RETURNING 1",
        rf"answers_by_votes: Latvia frequent_segment {FREQUENT[1]}",
    ),
    "answers_by_votes, missing": (
        f"DELETE FROM voucher.segment_vote WHERE run_id = %s AND segment = '{RECENCY[1]}' RETURNING 1",
        rf"Peru recency_segment {RECENCY[1]}: published 2640\.00 \(10 of 10\), by its votes nothing",
    ),
    "answers_by_votes, country": (
        f"UPDATE voucher.segment SET voucher_amount = 1 WHERE run_id = %s AND segment = '{FREQUENT[-1]}' RETURNING 1",
        r"Peru: its most used amount is said to be 1\.00, but 2640\.00 was used more",
    ),
    "answers_by_effect": (
        f"UPDATE voucher.segment SET basis = 'effect' WHERE run_id = %s AND segment = '{FREQUENT[1]}' RETURNING 1",
        rf"Peru frequent_segment {FREQUENT[1]}: 2640\.00 is chosen by effect, but its effect is not known or not clear",
    ),
    "draws_complete": (
        "INSERT INTO voucher.draw SELECT run_id, country_code, segment_name, segment, 1, 'table', voucher_amount, 9, 'salt' "
        f"FROM voucher.segment WHERE run_id = %s AND segment = '{FREQUENT[1]}' RETURNING 1",
        rf"Latvia frequent_segment {FREQUENT[0]}: 0 of 1 get nothing, and the answer is 4400\.00",
    ),
    "draws_complete, amount": (
        "INSERT INTO voucher.draw SELECT run_id, country_code, segment_name, segment, 1, 'table', voucher_amount + 1, 9, "
        "'salt' FROM voucher.segment WHERE run_id = %s RETURNING 1",
        rf"Latvia frequent_segment {FREQUENT[0]}: 1\.0+ of 1 get 4401\.00, and the answer is 4400\.00",
    ),
}  # fmt: skip
WARNED = {
    "rows_not_halved": (history(*[{}] * 4, *[LATVIA] * 4), "8 rows kept, 20 in the published run"),
    "answers_changed": (
        history(*[{"voucher_amount": 3520.0}] * 10, *[LATVIA] * 10),
        "10 of 20 published answers change or lose their label; `python -m pipeline plan` shows them",
    ),
}


@pytest.fixture
def published(settings: Make, written: Written) -> str:
    """Publish GOOD and return its run_id."""
    return run.run(settings(written(GOOD)), "test")


@pytest.mark.parametrize(("name", "rows", "message"), [(name, *case) for name, case in FILES.items()], ids=FILES)
def test_a_file_that_breaks_an_audit_is_not_published(
    settings: Make, written: Written, query: Query, published: str, name: str, rows: pa.Table, message: str
) -> None:
    """The run is rejected with the fault, examples and the remedy, and its rows are dropped; the answers stay."""
    before = query(ANSWERS)
    with pytest.raises(RunRejected, match=message) as rejected:
        run.run(settings(written(rows, "bad.parquet")), "test")
    assert all(str(rejected.value).count(failed.seen) == 1 for failed in rejected.value.failed)
    faults = [failed.fault for failed in rejected.value.failed if failed.audit.name == name]
    assert len(faults) == 1 and "; expected: " in faults[0] and name in rejected.value.summary
    ((rejected,),) = query("SELECT run_id FROM voucher.run WHERE status = 'rejected'")
    ((severity, passed, _),) = query(OUTCOME, rejected, name)
    assert (severity, passed) == ("fail", False)
    assert query(ANSWERS) == before
    assert {row[0] for row in query("SELECT loaded_by FROM voucher.assignment")} == {published}


@pytest.mark.parametrize(
    ("name", "change", "message"), [(name, *case) for name, case in TAMPERED.items()], ids=TAMPERED
)
@pytest.mark.usefixtures("published")
def test_tables_that_are_not_what_was_written_are_not_published(
    settings: Make, written: Written, query: Query, name: str, change: str, message: str
) -> None:
    """The audits also find faults that no file can cause, but the software or a person could."""
    before = query(ANSWERS)
    config = settings(written(pa.concat_tables([GOOD, history({"last_order_ts": "2020-06-15"})]), "more.parquet"))
    run_id = run.plan(config)
    run.load(config, run_id)
    assert query(change, run_id)
    with pytest.raises(RunRejected, match=message):
        run.audit(config, run_id)
    assert query(OUTCOME, run_id, name.partition(",")[0])[0][1] is False
    assert query(ANSWERS) == before


@pytest.mark.parametrize(("name", "rows", "message"), [(name, *case) for name, case in WARNED.items()], ids=WARNED)
@pytest.mark.usefixtures("published")
def test_a_warning_is_said_and_published(
    settings: Make,
    written: Written,
    query: Query,
    caplog: pytest.LogCaptureFixture,
    name: str,
    rows: pa.Table,
    message: str,
) -> None:
    """A warning is logged and recorded, and the run is published."""
    run_id = run.run(settings(written(rows, "new.parquet")), "test")
    assert query(OUTCOME, run_id, name) == [("warn", False, message)]
    assert any(message in record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert query("SELECT run_id FROM voucher.current_run") == [(run_id,)]


def test_every_audit_has_a_test_that_breaks_it() -> None:
    """Every audit fails in a test here; otherwise it might never fail."""
    assert {check.name for check in AUDITS} == {name.partition(",")[0] for name in {**FILES, **TAMPERED, **WARNED}}


def test_after_the_sample_comparisons_are_skipped(settings: Make, written: Written, query: Query) -> None:
    """After the built-in sample, any other data needs no force: comparisons are skipped, and the outcomes say so."""
    sample = run.run(settings(written(SAMPLE)), "test")
    own = run.run(settings(written(history({"country_code": "Narnia", "timestamp": "2001-01-01"}))), "test")
    for check in AUDITS:
        if check.compares:
            skipped = [(check.severity, True, "skipped: the published run came from the built-in sample")]
            assert query(OUTCOME, own, check.name) == skipped
    assert query("SELECT DISTINCT compared_with FROM voucher.audit_outcome WHERE run_id = %s", own) == [(sample,)]


def test_the_sample_does_not_take_over_from_real_data_unseen(settings: Make, written: Written) -> None:
    """The sample is rejected after real data, so a forgotten VOUCHER_SOURCE doesn't give customers invented answers."""
    run.run(settings(written(history({"timestamp": "2001-01-01"}))), "test")
    with pytest.raises(RunRejected, match="sample_stays_out: 1 of 1 files are the built-in sample"):
        run.run(settings(written(SAMPLE, "sample.parquet")), "test")


def test_force_publishes_what_an_audit_refuses_and_says_who_and_why(
    settings: Make, written: Written, query: Query, published: str
) -> None:
    """Force publishes the run and records who and why; the outcome stays failed, and a repeated run needs no force."""
    config = settings(written(FILES["countries_remain"][0], "bad.parquet"))
    with pytest.raises(RunRejected):
        run.run(config, "test")
    run_id = run.run(config, "ana", force="Latvia is closed")
    assert query("SELECT run_id FROM voucher.current_run") == [(run_id,)]
    assert query("SELECT status FROM voucher.run WHERE run_id = %s", run_id) == [("published",)]
    assert query(OUTCOME, run_id, "countries_remain") == [("fail", False, "Latvia has no answer any more")]
    last = "SELECT previous_run_id, action, actor, reason FROM voucher.publication ORDER BY at DESC LIMIT 1"
    assert query(last) == [(published, "force", "ana", "Latvia is closed")]
    assert run.run(config, "test") == run_id
    assert query(last) == [(published, "force", "ana", "Latvia is closed")]


def test_a_run_is_audited_again_when_another_was_published_since(
    settings: Make, written: Written, query: Query, pipeline_database: str
) -> None:
    """`publish` audits the run again if another was published since, because the run would now replace that one."""
    run.run(settings(written(GOOD)), "test")
    three = settings(written(pa.concat_tables([GOOD, history({"country_code": "Chile"})]), "three.parquet"))
    overtaker = run.plan(three)
    slow = settings(written(history(*[{}] * 5, *[LATVIA] * 10), "slow.parquet"))
    run_id = run.plan(slow)
    run.load(slow, run_id)
    run.audit(slow, run_id)
    for step in (run.load, run.audit):
        step(three, overtaker)
    run.publish(three, overtaker, "test")
    with pytest.raises(RunRejected, match="countries_remain: Chile has no answer any more"):
        run.publish(slow, run_id, "test")
    assert current(Database(pipeline_database)) == overtaker


def test_another_spelling_is_the_same_country(settings: Make, written: Written, query: Query) -> None:
    """A country that changes in case, form or white space is the same country, and its answers are compared."""
    old, new = ["Côte d'Ivoire", "Türkiye", "Weißland"], ["CO\u0302TE  D'IVOIRE", "TÜRKİYE\u00a0", "WEISSLAND"]
    first, second = (
        settings(written(history(*({"country_code": country} for country in countries)), f"{place}.parquet"))
        for place, countries in enumerate((old, new))
    )
    run.run(first, "test")
    run_id = run.run(second, "test")
    assert query(OUTCOME, run_id, "countries_remain") == [("fail", True, "as expected")]
    assert query(OUTCOME, run_id, "answers_changed") == [("warn", True, "as expected")]
    database = Database(second.database_url)
    ((before,),) = query("SELECT previous_run_id FROM voucher.publication WHERE run_id = %s", run_id)
    assert changes(database, run_id, before).summary == "0 of 30 answers differ"


def work(plan: dict[str, Any]) -> float:
    """Return how many rows the nodes of an executed plan returned or discarded, in all loops."""
    own = plan["Actual Rows"] + sum(count for name, count in plan.items() if name.startswith("Rows Removed by"))
    return float(own * plan["Actual Loops"] + sum(work(part) for part in plan.get("Plans", [])))


def test_audits_grow_with_the_countries_and_no_faster(
    settings: Make, written: Written, query: Query, pipeline_database: str
) -> None:
    """With four times as many countries, each audit reads about four times as many rows, even on fresh tables."""
    for table in ("run", "rule", "rule_outcome", "unplaced", "segment", "segment_vote"):
        query(f"ALTER TABLE voucher.{table} SET (autovacuum_enabled = off); SELECT 1")  # not analyzed yet
    looked_at: dict[str, list[float]] = {check.name: [] for check in AUDITS}
    for countries in (50, 200):
        rows = [{"country_code": f"Country {number}"} for number in range(countries)]
        published, new = (
            settings(written(history(*rows, {"voucher_amount": each}), f"{each}.parquet")) for each in (1.0, 2.0)
        )
        run_ids = {"published": run.run(published, "test", force="a test"), "run_id": run.plan(new)}
        run.load(new, run_ids["run_id"])
        with Database(pipeline_database).transaction() as cursor:
            cursor.execute(HASH_JOINS)
            values = parameters(cursor, **run_ids)
            for check in AUDITS:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {check.failing_rows}", values)
                looked_at[check.name].append(work(cursor.fetchone()[0][0]["Plan"]))
    assert not {name: rows for name, rows in looked_at.items() if rows[1] > 6 * rows[0] + 100}
