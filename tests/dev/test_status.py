"""What `make status` and `make up` say of the DAG and its runs, with a stand-in for Airflow."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dev.commands import up
from dev.commands.status import _last_run
from dev.processes import Processes, StackError
from dev.services.airflow_client import Client
from dev.stack.stack import DAG, Stack

PARSED = "2026-11-28T13:00:00Z"
KNOWN = {"is_stale": False, "last_parsed_time": PARSED, "is_paused": False}
ERROR = {"filename": "voucher_select.py", "stack_trace": "SettingsError: VOUCHER_APPROVAL is 'maybe'\n"}
HEALTH = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "dag_processor")}
WAITING = [{"task_id": "approve", "state": "awaiting_input", "start_date": PARSED, "duration": None}]
ENDED = [{"task_id": "approve", "state": "success", "start_date": PARSED, "duration": 1.0}]


@contextmanager
def airflow(dag: dict[str, Any] | None, state: str, tasks: list[dict[str, Any]], chosen: list[str]) -> Iterator[int]:
    """Yield the port of an Airflow with one run; `dag` is None if it is missing, and stale if it can't be read."""
    run = {"dag_run_id": "manual__1", "state": state}
    answers: dict[str, Any] = {
        "/auth/token": {"access_token": "x"},
        "/api/v2/monitor/health": HEALTH,
        "/api/v2/importErrors": {"import_errors": [] if dag == KNOWN else [ERROR]},
        f"/api/v2/dags/{DAG}": dag,
        f"/api/v2/dags/{DAG}/dagRuns": {"dag_runs": [run], **run} if dag == KNOWN else None,
        f"/api/v2/dags/{DAG}/dagRuns/manual__1": run,
        f"/api/v2/dags/{DAG}/dagRuns/manual__1/taskInstances": {"task_instances": tasks},
        f"/api/v2/dags/{DAG}/dagRuns/manual__1/hitlDetails": {"hitl_details": [{"chosen_options": chosen}]},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found or {"detail": "not found"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("dag", "state", "tasks", "chosen", "said"),
    [
        (KNOWN, "success", ENDED, ["Approve"], "success, manual__1"),
        (KNOWN, "success", ENDED, ["Reject"], "refused in Airflow, nothing published, manual__1"),
        (KNOWN, "running", WAITING, [], "waits for approval: http"),
        (
            None,
            "success",
            ENDED,
            [],
            f"Airflow does not find {DAG}.\nvoucher_select.py: SettingsError: VOUCHER_APPROVAL is",
        ),
        (
            KNOWN | {"is_stale": True},
            "success",
            ENDED,
            [],
            f"Airflow does not find {DAG}.\nvoucher_select.py: Settings",
        ),
    ],
    ids=["success", "refused", "waiting", "missing", "unreadable"],
)
def test_status_says_how_the_last_run_ended(
    tmp_path: Path, dag: dict[str, Any] | None, state: str, tasks: list[dict[str, Any]], chosen: list[str], said: str
) -> None:
    """A refused run is not a success, and a missing DAG is named with the error of its file."""
    processes = Processes(tmp_path)
    processes.start("airflow-api", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    try:
        with airflow(dag, state, tasks, chosen) as port:
            assert _last_run(Stack(tmp_path, {"AIRFLOW_PORT": str(port)})).startswith(said)
    finally:
        processes.stop("airflow-api")


def test_up_says_that_a_run_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While a run waits for approval, `make up` does not say that it ran."""
    monkeypatch.setattr(up, "published", lambda _: None)

    with airflow(KNOWN, "running", WAITING, []) as port:
        assert up._run(Stack(tmp_path, {"AIRFLOW_PORT": str(port)}))

    said = capsys.readouterr().out
    assert f"{DAG} waits for approval: manual__1" in said
    assert "ran:" not in said


@pytest.mark.parametrize("act", [Client.trigger, Client.runs])
def test_a_missing_dag_is_named_with_its_error(act: Callable[[Client], object]) -> None:
    """A 404 because the DAG can't be read any more says why."""
    with airflow(KNOWN | {"is_stale": True}, "success", ENDED, []) as port:
        client = Client(f"http://127.0.0.1:{port}", DAG)
        with pytest.raises(
            StackError, match=rf"does not find {DAG}\.\nvoucher_select.py: SettingsError: VOUCHER_APPROVAL"
        ):
            act(client)


def test_up_waits_until_this_start_has_read_the_dag() -> None:
    """What an earlier DAG processor read, maybe with other settings, does not count."""
    with airflow(KNOWN, "success", ENDED, []) as port:
        client = Client(f"http://127.0.0.1:{port}", DAG)
        parsed = datetime.fromisoformat(PARSED).timestamp()
        assert client.known(since=parsed - 1)
        assert not client.known(since=parsed + 1)
