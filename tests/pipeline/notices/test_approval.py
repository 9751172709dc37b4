"""What the notices of a run that needs approval say, and that each is left once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline import run
from pipeline.publish.approval import leave_refusal, leave_waiting
from pipeline.publish.database import Database
from pipeline.publish.publication import Approval
from pipeline.receiver import Receiver
from pipeline.settings import Settings
from proofs.support.notice_receiver import NoticeReceiver

ADDRESS = "http://airflow.example/dags/Voucher_Select/required_actions"
LATE = "nobody approved the run within 20 h"


def test_each_step_of_an_approval_is_told_once(
    settings: Callable[..., Settings], receiver: NoticeReceiver, source: Callable[..., str]
) -> None:
    """A run that waits is told with the address, not as a reason; that nobody approved it in time is told once, also if
    it waits again; the publication has the reason of the log.
    """
    to = Receiver(receiver.url, "webhook")
    first = run.run(settings(source(1.0)), "test")
    second = settings(source(2.0), receiver=to)
    database, run_id = Database(second.database_url), run.plan(second)
    run.load(second, run_id)
    run.audit(second, run_id)
    asked = Approval(run_id, first)
    for _ in range(2):
        leave_waiting(database, asked, ADDRESS)
        leave_refusal(database, asked, "airflow", LATE)
    run.publish(replace(second, receiver=None), run_id, "ana", None, asked)
    receiver.got.clear()
    run.notify(second)
    assert [_told(each.json) for each in receiver.got] == [
        ("run.waiting", None, "airflow", None, ADDRESS),
        ("run.refused", None, "airflow", LATE, None),
        ("run.published", "publish", "ana", "approved in Airflow", None),
    ]


def _told(body: Any) -> tuple[Any, ...]:
    return body["type"], *(body["data"][name] for name in ("action", "actor", "reason", "approve_url"))
