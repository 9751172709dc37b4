"""Request counts in the metrics: each request counts once, regardless of the worker, even if that is killed."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from dev.ports import free_port
from dev.processes import Processes, start_time, until
from dev.services.api import Service
from tests.app.conftest import NAMESPACE, Tables, ask_often, failing, full_disk, served

CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}


def counted(text: str, name: str = "voucher_requests_total") -> dict[tuple[str, ...], float]:
    """Return the metric's values by method, path, status and bucket, as far as it has these labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    labels = ("method", "path", "status", "le")
    return {
        tuple(sample.labels[label] for label in labels if label in sample.labels): sample.value
        for sample in samples
        if sample.name == name
    }


def test_each_request_is_counted_by_method_route_and_status(client: FlaskClient, tables: Tables) -> None:
    """Requests are counted by method, route and status, with or without Flask; the current request is not included."""
    tables.publish()
    client.application.extensions["published"].refresh()
    for path in ("/voucher", "/voucher", "/voucher/", "/segmentation-voucher/"):
        assert client.post(path, json=CUSTOMER).status_code == 200
    client.post("/voucher", json={})
    client.get("/voucher")
    client.get("/redoc/")
    assert counted(client.get("/metrics").text) == {
        ("POST", "/voucher", "200"): 3,
        ("POST", "/segmentation-voucher/", "200"): 1,
        ("POST", "/voucher", "422"): 1,
        ("GET", "/voucher", "405"): 1,
        ("GET", "/redoc/", "302"): 1,
    }
    seconds = client.get("/metrics").text
    assert counted(seconds, "voucher_request_seconds_count")[("/voucher",)] == 5
    assert counted(seconds, "voucher_request_seconds_bucket")[("/voucher", "+Inf")] == 5
    assert counted(seconds, "voucher_request_seconds_sum")[("/voucher",)] > 0


def test_no_caller_multiplies_the_counts(client: FlaskClient) -> None:
    """Unknown paths share one label, as do unknown methods and all paths of a route with a variable."""
    for number in range(50):
        client.get(f"/nowhere/{number}")
        client.get(f"/static/{number}")
        client.open("/livez", method=f"X{number}")
    assert counted(client.get("/metrics").text) == {
        ("GET", "other", "404"): 50,
        ("GET", "/static/<path:filename>", "404"): 50,
        ("other", "/livez", "405"): 50,
    }


class Workers:
    """A running service, and which worker serves which connection."""

    def __init__(self, folder: Path, database: str) -> None:
        self.service = Service(folder, free_port())
        self._processes = Processes(folder)
        self._environ = os.environ | {"API_DATABASE_URL": database}
        self._sessions: list[requests.Session] = []

    def start(self) -> None:
        self.service.start(self._environ, "")
        self._granian = psutil.Process(self._processes.running("api").pid)

    def stop(self) -> None:
        for session in self._sessions:  # the service would wait for them
            session.close()
        self._processes.stop("api")

    def pids(self) -> set[int]:
        return {worker.pid for worker in self._granian.children() if start_time(worker.pid)}

    def session(self) -> tuple[requests.Session, int]:
        """Open a new connection. Return it and the process id of the worker that serves it."""
        session = requests.Session()
        self._sessions.append(session)
        answer = session.get(f"{self.service.url}/livez", stream=True)
        mine = answer.raw.connection.sock.getsockname()
        assert answer.content
        [worker] = [
            pid for pid in self.pids() for each in psutil.Process(pid).net_connections("tcp") if each.raddr == mine
        ]
        return session, worker

    def session_of_each(self) -> dict[int, requests.Session]:
        """Open a connection to each of the two workers. Extra connections only request /livez."""
        found: dict[int, requests.Session] = {}

        def both() -> bool:
            session, worker = self.session()
            found.setdefault(worker, session)
            return len(found) == 2

        assert until(both, 30, every=0.01), f"two workers should answer, but only {set(found)} did"
        return found


@pytest.fixture
def workers(tmp_path: Path, database: str, tables: Tables) -> Iterator[Workers]:
    tables.publish()
    workers = Workers(tmp_path, database)
    try:
        workers.start()
        yield workers
    finally:
        workers.stop()


def test_any_worker_tells_the_requests_of_all(workers: Workers) -> None:
    """Each worker reports the exact counts of all workers, even after one is killed and replaced."""
    sent: Counter[tuple[str, ...]] = Counter()

    def send(sessions: dict[int, requests.Session], many: int) -> None:
        for number, session in zip((many, many + 1), sessions.values(), strict=True):
            for _ in range(number):
                assert session.post(f"{workers.service.url}/voucher", json=CUSTOMER).status_code == 200
            assert session.post(f"{workers.service.url}/voucher", json={}).status_code == 422
            sent.update({("POST", "/voucher", "200"): number, ("POST", "/voucher", "422"): 1})

    def told(session: requests.Session) -> dict[tuple[str, ...], float]:
        found = counted(session.get(f"{workers.service.url}/metrics").text)
        return {key: value for key, value in found.items() if key[1] == "/voucher"}

    sessions = workers.session_of_each()
    send(sessions, 70)
    assert [told(session) for session in sessions.values()] == [sent, sent]

    killed, left = sessions
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: killed not in workers.pids(), 10)
    assert told(sessions[left]) == sent

    assert until(lambda: len(workers.pids()) == 2, 30), "granian should have started a worker for the one killed"
    again = workers.session_of_each()
    assert killed not in again
    send(again, 30)
    assert [told(session) for session in again.values()] == [sent, sent]


def test_a_server_that_starts_again_counts_from_0(workers: Workers) -> None:
    """The counts start at 0 after a restart, as Prometheus expects of a counter."""
    for session in workers.session_of_each().values():
        assert session.post(f"{workers.service.url}/voucher", json=CUSTOMER).status_code == 200
    workers.stop()
    workers.start()
    for session in workers.session_of_each().values():
        found = counted(session.get(f"{workers.service.url}/metrics").text)
        assert {path for _, path, _ in found} <= {"/livez", "/metrics"}


@pytest.mark.skipif(subprocess.call([*NAMESPACE, "true"]) != 0, reason="this system allows no user namespaces")
def test_a_full_disk_costs_counts_and_no_answers(tmp_path: Path, database: str, tables: Tables) -> None:
    """A full disk ends no worker with SIGBUS: requests are answered but not counted, and readiness names `metrics`."""
    tables.publish()
    with served(database, prefix=full_disk(tmp_path), PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as url:
        assert ask_often(url) == {200: 600}
        assert failing(url) == ["metrics"]
        assert "voucher_fresh 1.0" in requests.get(f"{url}/metrics", timeout=5).text


def test_a_missing_folder_costs_counts_and_no_answers(tmp_path: Path, database: str, tables: Tables) -> None:
    """If a cleanup of temporary files has removed the counts' folder, requests are answered but not counted."""
    tables.publish()
    with served(database, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "gone")) as url:
        assert ask_often(url) == {200: 600}
        assert failing(url) == ["metrics"]
        assert "voucher_fresh 1.0" in requests.get(f"{url}/metrics", timeout=5).text


@pytest.mark.long
def test_files_that_cannot_be_read_are_skipped(tmp_path: Path, database: str, tables: Tables) -> None:
    """Truncated, overwritten and other unreadable files are skipped, and the rest is summed up."""
    tables.publish()
    with served(database, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as url:
        assert ask_often(url) == {200: 600}
        whole = next(tmp_path.glob("counter_*.db")).read_bytes()
        for name, content in (
            ("counter_1.db", b""),
            ("counter_2.db", b"\xff" * 100),
            ("counter_3.db", whole[:60]),
            ("counter_4.db", whole[:4] + bytes(5000)),
            ("counter_5.db", whole[:16] + b"x" * (len(whole) - 16)),
        ):
            (tmp_path / name).write_bytes(content)
        (tmp_path / "counter_6.db").mkdir()
        answer = requests.get(f"{url}/metrics", timeout=5)
        assert answer.status_code == 200
        assert counted(answer.text)["POST", "/voucher", "200"] == 600
