"""When notices are sent: once each, in order, again after a failure, and never at the expense of a run."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from subprocess import CompletedProcess
from typing import Any

import psycopg2
import pytest

from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from pipeline import run
from pipeline.audits.runner import RunRejected
from pipeline.notices import delivery, outbox
from pipeline.publish import publication
from pipeline.publish.database import ONE_RUN, Database
from pipeline.receiver import Receiver
from pipeline.settings import Settings
from proofs.support.notice_receiver import DRIP, NoticeReceiver
from tests.pipeline.notices.conftest import few

Query = Callable[..., list[tuple[Any, ...]]]
Make = Callable[..., Settings]
Source = Callable[..., str]
Command = Callable[..., CompletedProcess[str]]

DUE = "SELECT event, run_id, attempts, error FROM voucher.notice WHERE sent_at IS NULL ORDER BY at"


@pytest.fixture
def make(settings: Make, receiver: NoticeReceiver, source: Source) -> Make:
    """Return a function that creates settings with the receiver, for the history of an amount."""
    return lambda amount: settings(source(amount), receiver=Receiver(receiver.url, "webhook"))


def published(*run_ids: str) -> list[tuple[str, str]]:
    return [("run.published", run_id) for run_id in run_ids]


def test_each_is_sent_once_and_in_order(make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """Each publication is sent at once, and not again by later runs."""
    runs = [run.run(make(amount), "test") for amount in (1.0, 2.0, 3.0)]
    run.run(make(3.0), "test")
    assert receiver.notices == published(*runs)
    assert query("SELECT attempts, error, sent_at >= at FROM voucher.notice") == [(1, None, True)] * 3


def test_those_without_a_receiver_wait_for_one(make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """Without VOUCHER_NOTIFY_URL notices stay due; the next step that has it sends them, the oldest first."""
    runs = [run.run(replace(make(amount), receiver=None), "test") for amount in (1.0, 2.0)]
    assert [attempts for _, _, attempts, _ in query(DUE)] == [0, 0]
    run.plan(make(2.0))
    assert receiver.notices == published(*runs)
    assert query(DUE) == []


@pytest.mark.usefixtures("quick")
def test_a_receiver_that_fails_fails_no_run(
    make: Make, receiver: NoticeReceiver, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    """With a receiver that answers 500, runs succeed and say so; afterwards all are sent, with the id and the body of
    the first attempt.
    """
    receiver.answers = [500]
    caplog.set_level(logging.INFO)
    runs = [run.run(make(amount), "test") for amount in (1.0, 2.0)]
    assert {(event, run_id, error) for event, run_id, _, error in query(DUE)} == {
        ("published", runs[0], "it answered 500"),
        ("published", runs[1], None),  # after the first failure, no other is tried
    }
    assert (
        f"127.0.0.1 did not accept the notice of run {runs[0]} (published): it answered 500; a later step"
        in caplog.text
    )
    tried = {(each.id, each.body) for each in receiver.got}
    receiver.answers = [200]
    receiver.got.clear()
    run.run(make(2.0), "test")
    assert receiver.notices == published(*runs)
    assert tried == {(receiver.got[0].id, receiver.got[0].body)}


def test_one_that_is_refused_does_not_hold_up_the_others(make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """If the receiver refuses a notice with 400, the next ones are sent, and the refused one is tried again later."""
    receiver.answers = [400, 200]
    runs = [run.run(replace(make(amount), receiver=None), "test") for amount in (1.0, 2.0)]
    run.notify(make(2.0))
    assert receiver.notices == published(*runs)
    assert query(DUE) == [("published", runs[0], 1, "it answered 400")]
    run.notify(make(2.0))
    assert receiver.notices == published(*runs, runs[0])
    assert query(DUE) == []


def test_a_slow_receiver_costs_a_step_a_bounded_time(
    make: Make, receiver: NoticeReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that never finishes its answer costs each step one deadline, whatever is due."""
    monkeypatch.setattr(delivery, "DEADLINE", 0.5)
    receiver.answers = [DRIP]
    for amount in (1.0, 2.0):
        run.run(replace(make(amount), receiver=None), "test")
    began = time.monotonic()
    run.notify(make(2.0))
    assert time.monotonic() - began < 3
    assert len(receiver.got) == 1


def test_a_call_ends_although_more_is_due(
    make: Make, receiver: NoticeReceiver, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    """A call starts no further notice after its time; the next call sends the rest."""
    runs = [run.run(replace(make(amount), receiver=None), "test") for amount in (1.0, 2.0)]
    monkeypatch.setattr(outbox, "SECONDS", 0.2)
    receiver.on_request = lambda _: receiver.closing.wait(0.3)  # type: ignore[assignment, func-returns-value]
    run.notify(make(2.0))
    assert receiver.notices == published(runs[0])
    run.notify(make(2.0))
    assert receiver.notices == published(*runs)
    assert query(DUE) == []


def test_after_three_days_one_is_given_up(make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """A notice of three days ago is not sent any more, but stays on record."""
    runs = [run.run(replace(make(amount), receiver=None), "test") for amount in (1.0, 2.0)]
    for run_id, age in zip(runs, ("3 days 1 minute", "2 days 23 hours"), strict=True):
        query("UPDATE voucher.notice SET at = now() - %s::interval WHERE run_id = %s RETURNING 1", age, run_id)
    run.notify(make(2.0))
    assert receiver.notices == published(runs[1])
    assert query(DUE) == [("published", runs[0], 0, None)]


def test_two_processes_do_not_send_the_same_one(make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """While one process sends a notice, another one doesn't wait for it, and sends the next one."""
    runs = [run.run(replace(make(amount), receiver=None), "test") for amount in (1.0, 2.0, 3.0)]
    two_are_sending = [False]

    def together(_: object) -> None:
        two_are_sending[0] |= until(lambda: len(receiver.got) >= 2, 10, every=0.01)

    receiver.on_request = together
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run.notify, [make(3.0)] * 2))
    assert two_are_sending == [True]
    assert sorted(receiver.notices) == sorted(published(*runs))
    assert query(DUE) == []


def test_no_lock_is_held_while_one_is_sent(make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """While a notice is sent, another run may work and publish, and the tables are not locked."""
    locked: list[Any] = []

    def look(_: object) -> None:
        locked.append(query("SELECT pg_try_advisory_lock(%s), pg_advisory_unlock(%s)", ONE_RUN, ONE_RUN))
        locked.append(
            query(
                "SELECT mode FROM pg_locks WHERE relation = 'voucher.current_run'::regclass AND mode LIKE '%%xclusive%%'"
            )
        )

    receiver.on_request = look
    run.run(make(1.0), "test")
    assert locked == [[(True, True)], []]


def test_a_refusal_by_publish_is_sent(make: Make, receiver: NoticeReceiver, query: Query, source: Source) -> None:
    """If a run must be audited again at its publication and fails, its refusal is sent at once."""
    one, other = make(1.0), make(2.0)
    other = replace(other, source=source(2.0, *few(2.0), {"country_code": "Latvia"}))
    planned = run.plan(one)
    run.load(one, planned)
    run.audit(one, planned)
    run.run(other, "test")
    query("UPDATE voucher.current_run SET decided_at = '2000-01-01' RETURNING 1")
    with pytest.raises(RunRejected):
        run.publish(one, planned, "test")
    assert receiver.notices[-1] == ("run.refused", planned)


def test_a_publication_that_rolls_back_leaves_none(make: Make, query: Query, database: str) -> None:
    """If the transaction that publishes fails, there is no notice of it."""
    one = make(1.0)
    planned = run.plan(one)
    run.load(one, planned)
    run.audit(one, planned)
    query("ALTER TABLE voucher.current_run ADD CONSTRAINT none CHECK (false) NOT VALID; SELECT 1")
    with pytest.raises(Exception, match="none"):
        publication.publish(Database(one.database_url), planned, "test")
    assert query("SELECT count(*) FROM voucher.notice") == [(0,)]


def test_an_error_of_the_database_is_only_logged(make: Make, query: Query, caplog: pytest.LogCaptureFixture) -> None:
    """If the notices can't be read, the run succeeds, and the log says why."""
    query("ALTER TABLE voucher.notice RENAME COLUMN attempts TO tries; SELECT 1")
    run.run(make(1.0), "test")
    assert 'notices: Postgres refused: column "attempts" does not exist' in caplog.text
    assert query("SELECT count(*) FROM voucher.current_run") == [(1,)]


def test_a_lost_connection_sends_it_again(
    make: Make, receiver: NoticeReceiver, query: Query, postgres: Postgres, database: str
) -> None:
    """If Postgres drops the connection after the answer, the notice is sent again, with the same id and body."""
    first = run.run(replace(make(1.0), receiver=None), "test")

    def drop(_: object) -> None:
        with (
            closing(psycopg2.connect(postgres.admin_url(database.rpartition("/")[2]))) as admin,
            admin.cursor() as look,
        ):
            look.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'idle in transaction'"""
            )
            dropped.append(look.rowcount)

    dropped: list[int] = []
    receiver.on_request = drop
    run.notify(make(1.0))
    assert dropped == [1]
    assert len(query(DUE)) == 1
    receiver.on_request = lambda _: None
    run.notify(make(1.0))
    assert receiver.notices == published(first, first)
    assert len({(each.id, each.body) for each in receiver.got}) == 1
    assert query(DUE) == []


@pytest.mark.usefixtures("quick")
def test_the_command_sends_what_is_due(command: Command, make: Make, receiver: NoticeReceiver, query: Query) -> None:
    """`notify` sends what is due and exits with 0; if something is not taken, with 1, and says how many are due; if nothing
    is due, it says so.
    """
    url = {"VOUCHER_NOTIFY_URL": receiver.url}
    runs = [run.run(replace(make(amount), receiver=None), "test") for amount in (1.0, 2.0)]
    receiver.answers = [500]
    failed = command("notify", **url)
    assert failed.returncode == 1
    assert failed.stderr == (
        "error: notices still due: 2; 127.0.0.1 did not accept 1 of 1 that were sent, see above; "
        "try again with `notify`\n"
    )
    receiver.answers = [200]
    sent = command("notify", **url)
    accepted = [f"notices: 127.0.0.1 accepted the notice of run {run_id} (published)" for run_id in runs]
    assert (sent.returncode, sent.stdout.splitlines()) == (0, accepted)
    assert command("notify", **url).stdout == "no notice is due\n"
    without = command("notify")
    assert without.returncode == 1
    assert without.stderr.startswith("error: VOUCHER_NOTIFY_URL is not set, so nobody gets notices")


@pytest.mark.usefixtures("quick")
def test_a_receiver_can_be_tried(command: Command, receiver: NoticeReceiver, query: Query) -> None:
    """`notify --test` sends a test notice without a database, records nothing, and says whether it was taken."""
    nowhere = {"PIPELINE_DATABASE_URL": f"postgresql://p:w@127.0.0.1:{free_port()}/d"}
    sent = command("notify", "--test", VOUCHER_NOTIFY_URL=receiver.url, LOGNAME="ana", **nowhere)
    assert (sent.returncode, sent.stdout) == (0, "127.0.0.1 accepted a test notice in the form 'webhook'.\n")
    assert receiver.got[0].json["data"] == {"actor": "ana", "url": None}
    receiver.answers = [404]
    failed = command("notify", "--test", VOUCHER_NOTIFY_URL=receiver.url, VOUCHER_NOTIFY_FORM="slack")
    assert failed.returncode == 1
    assert failed.stderr == "error: 127.0.0.1 did not accept a test notice in the form 'slack': it answered 404\n"
    assert query("SELECT count(*) FROM voucher.notice") == [(0,)]


def test_a_rollback_is_told_although_its_shell_has_no_receiver(
    command: Command, make: Make, receiver: NoticeReceiver
) -> None:
    """A rollback in a shell without VOUCHER_NOTIFY_URL is told by the next run that has it."""
    first, second = (run.run(make(amount), "test") for amount in (1.0, 2.0))
    assert command("rollback", first[:6], "--reason", "x").returncode == 0
    run.run(make(2.0), "test")
    assert receiver.notices == [*published(first, second), ("run.rolled_back", first)]


def test_the_owner_may_look(query: Query, make: Make, database: str) -> None:
    """An operator finds in voucher.notice what was not taken, and why, without any part of the URL."""
    broken = replace(make(1.0), receiver=Receiver(f"http://u:hunter2@127.0.0.1:{free_port()}/hunter3", "webhook"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "PAUSES", ())
        run.run(broken, "test")
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n::text FROM voucher.notice AS n")
        ((row,),) = cursor.fetchall()
    assert "it can't be reached (connection refused)" in row
    assert "hunter" not in row
