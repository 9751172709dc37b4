"""The assets of Voucher_Select, on a real scheduler with other DAGs."""

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from dev.processes import until
from dev.services.airflow_client import Client
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from proofs.support.notice_receiver import NoticeReceiver
from tests.conftest import ROOT
from tests.end_to_end.stack import Stack, started

pytestmark = pytest.mark.long

EXPORT = """
from airflow.sdk import Asset, dag, task

@dag(schedule=None)
def export():
    @task(outlets=[Asset("voucher_history")])
    def write():
        pass
    write()

export()
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[NoticeReceiver]:
    with NoticeReceiver.open() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, template: str, s3: S3, receiver: NoticeReceiver
) -> Iterator[Stack]:
    """Yield a stack with the DAG of docs/runs.md, and one that writes the history; all are on."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "dags").mkdir()
    example = re.search(r"```python\n(from airflow.*?)```", (ROOT / "docs" / "runs.md").read_text(), re.DOTALL)
    assert example
    (folder / "dags" / "after_publication.py").write_text(example[1])
    (folder / "dags" / "export.py").write_text(EXPORT)
    more = {"VOUCHER_NOTIFY_URL": receiver.url}
    with started(folder, postgres, template, s3, more) as stack:
        for dag in ("after_publication", "export"):
            client = Client(stack.airflow.url, dag)
            assert until(client.known, 60), client.import_errors()
            client.pause(False)
        stack.put(rows=40)
        stack.client.pause(False)
        assert until(lambda: stack.states() == ["success"], 90), stack.states()
        yield stack


def told(stack: Stack) -> list[str]:
    """Return what the runs of the example DAG printed, the oldest first, when all of them have ended."""
    client = Client(stack.airflow.url, "after_publication")
    assert until(lambda: {run["state"] for run in client.runs()} <= {"success"}, 60), client.runs()
    runs = [run["dag_run_id"] for run in reversed(client.runs())]
    logs = [stack.airflow.task_log("after_publication", run, client.tasks(run)[0], lines=100) for run in runs]
    return [line for log in logs for line in re.findall(r"\d+ answers differ in run \w+", log)]


def publish(stack: Stack, amount: float) -> str:
    """Publish another history by the DAG, and return the line that the example DAG prints for it."""
    stack.put(rows=40, amount=amount)
    stack.ends(stack.client.trigger())
    return line(stack)


def line(stack: Stack) -> str:
    ((differing, run_id),) = stack.query(
        """SELECT count(*) FILTER (WHERE new.voucher_amount IS DISTINCT FROM old.voucher_amount), new.run_id
        FROM voucher.current_run JOIN voucher.publication ON (publication.run_id, at) = (current_run.run_id, published_at)
            JOIN voucher.segment AS new ON new.run_id = current_run.run_id
            LEFT JOIN voucher.segment AS old ON old.run_id = previous_run_id
                AND (old.country_code, old.segment_name, old.segment)
                    = (new.country_code, new.segment_name, new.segment)
        GROUP BY new.run_id"""
    )
    return f"{differing} answers differ in run {run_id}"


def test_once_for_each_publication(stack: Stack) -> None:
    """A DAG scheduled by the asset runs once for each publication, with its counts; not for a run that only checked the
    source or planned, nor for a task that is cleared later.
    """
    lines = [line(stack)]
    assert until(lambda: told(stack) == lines, 60), (told(stack), lines)
    lines.append(publish(stack, 1000))
    stack.ends(stack.client.trigger())
    stack.put(rows=40, amount=1100)
    stack.ends(stack.client.trigger({"plan_only": True}))
    lines.append(publish(stack, 1200))
    stack.clear(stack.client.runs()[0]["dag_run_id"], task_ids=["publish"])
    lines.append(publish(stack, 1300))

    assert until(lambda: told(stack) == lines, 60), (told(stack), lines)
    event = stack.client.events()[0]
    ((previous, at),) = stack.query("SELECT previous_run_id, at FROM voucher.publication ORDER BY at DESC LIMIT 1")
    assert event["extra"] == {
        "run_id": lines[-1].rpartition(" ")[2],
        "previous_run_id": previous,
        "published_at": at.isoformat(),
        "rows_in": 40,
        "rows_kept": 40,
        "answers": stack.count("segment JOIN voucher.current_run USING (run_id)"),
        "differing": int(lines[-1].split()[0]),
    }


def test_killed_after_the_publication(stack: Stack, receiver: NoticeReceiver) -> None:
    """A task that is killed between the publication and its end adds the event when it is tried again, once."""
    before = told(stack)
    stack.put(rows=40, amount=1400)
    killed: list[int] = []

    def kill(_: object) -> None:
        """Kill `publish` while it sends its notice, which it does just after the publication."""
        if not killed:
            killed.append(stack.task(dag_run, "publish")["pid"])
            os.kill(killed[0], signal.SIGKILL)

    receiver.on_request = kill
    dag_run = stack.client.trigger()
    stack.ends(dag_run)

    assert stack.answer()[0] == 1400
    assert killed and stack.task(dag_run, "publish")["try_number"] == 2
    assert until(lambda: told(stack) == [*before, line(stack)], 60), told(stack)


def test_new_history_starts_the_dag(stack: Stack) -> None:
    """A DAG that has the history as outlet starts Voucher_Select."""
    runs, lines = len(stack.client.runs()), told(stack)
    stack.put(rows=40, amount=1500)
    Client(stack.airflow.url, "export").trigger()
    assert until(lambda: len(stack.client.runs()) == runs + 1, 60), stack.states()
    newest: dict[str, Any] = stack.client.runs()[0]
    stack.ends(newest["dag_run_id"])
    assert (newest["run_type"], stack.answer()[0]) == ("asset_triggered", 1500)
    assert until(lambda: told(stack) == [*lines, line(stack)], 60), told(stack)
