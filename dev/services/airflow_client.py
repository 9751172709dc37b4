"""A small client of Airflow's REST API, for one DAG."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from dev.processes import StackError
from dev.services.airflow import LOGIN


@dataclass(frozen=True)
class Client:
    """Airflow's REST API, for one DAG. Its methods raise StackError. `seconds` is the timeout of one attempt."""

    url: str
    dag: str
    seconds: float = 30

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        # A busy machine may need several attempts. POST starts a run, so of the POSTs only the login is repeated.
        for prefix, methods in ((self.url, {"GET", "PATCH"}), (f"{self.url}/auth/", {"POST"})):
            session.mount(prefix, HTTPAdapter(max_retries=Retry(3, backoff_factor=1, allowed_methods=methods)))
        login = {"username": LOGIN, "password": LOGIN}
        answer = session.post(f"{self.url}/auth/token", json=login, timeout=self.seconds)
        answer.raise_for_status()
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return session

    def _send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            return self._session.request(method, f"{self.url}/api/v2{path}", timeout=self.seconds, **arguments)
        except requests.RequestException as error:
            raise StackError(
                f"Airflow on {self.url} does not answer: {error}. If the machine is busy, run `make up` again later. "
                "Its log: `make logs PART=airflow-api`"
            ) from None

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = self._send(method, f"/dags/{self.dag}{path}", **arguments)
        if answer.status_code == 404 and not self.known():
            raise StackError(self.missing())
        if not answer.ok:
            raise StackError(f"Airflow answered {answer.status_code} to {method} {answer.url}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json()
        return found

    def known(self, since: float = 0) -> bool:
        """Return whether the DAG processor has read the DAG, and can still read it. `since`: a Unix time."""
        answer = self._send("GET", f"/dags/{self.dag}")
        if not answer.ok or (dag := answer.json())["is_stale"]:
            return False
        return datetime.fromisoformat(dag["last_parsed_time"]).timestamp() >= since

    def import_errors(self) -> list[str]:
        found = self._send("GET", "/importErrors").json()
        return [f"{error['filename']}: {error['stack_trace'].strip()}" for error in found["import_errors"]]

    def missing(self) -> str:
        """Return that Airflow does not have the DAG, and why."""
        return "\n".join([f"Airflow does not find {self.dag}.", *self.import_errors()])

    def paused(self) -> bool:
        return bool(self._ask("GET", "")["is_paused"])

    def pause(self, paused: bool) -> None:
        self._ask("PATCH", "", json={"is_paused": paused})

    def trigger(self, parameters: Mapping[str, object] = MappingProxyType({})) -> str:
        """Start a run. Return its id."""
        asked = {"logical_date": None, "conf": dict(parameters)}
        return str(self._ask("POST", "/dagRuns", json=asked)["dag_run_id"])

    def runs(self) -> list[dict[str, Any]]:
        """Return the last runs, the newest first."""
        return list(self._ask("GET", "/dagRuns", params={"order_by": "-run_after", "limit": 20})["dag_runs"])

    def run(self, run_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/dagRuns/{run_id}")

    def waiting(self) -> str | None:
        """Return the address at which a person can approve the run that waits for it; None if none does."""
        for run in self.runs():
            if run["state"] == "running":
                for task in self.tasks(run["dag_run_id"]):
                    if task["state"] == "awaiting_input":
                        place = f"runs/{run['dag_run_id']}/tasks/{task['task_id']}"
                        return f"{self.url}/dags/{self.dag}/{place}/required_actions"
        return None

    def refused(self, run_id: str) -> bool:
        """Return whether a person rejected the run."""
        asked = self._ask("GET", f"/dagRuns/{run_id}/hitlDetails")["hitl_details"]
        return any(each["chosen_options"] == ["Reject"] for each in asked)

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run in the order in which they started, those not started last."""
        found = self._ask("GET", f"/dagRuns/{run_id}/taskInstances")["task_instances"]
        return sorted(found, key=lambda task: task["start_date"] or "~")

    def clear(self, run_id: str, **what: object) -> None:
        """Clear tasks of a run, as *Clear* on Airflow's page does: all of them, or task_ids and those after them."""
        asked = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "include_downstream": True, **what}
        if not self._ask("POST", "/clearTaskInstances", json=asked)["total_entries"]:
            raise StackError(f"Airflow cleared no task of {run_id}: {what}")

    def set_state(self, run_id: str, task: str, state: str) -> None:
        """Mark a task as `success` or `failed` by hand."""
        self._ask("PATCH", f"/dagRuns/{run_id}/taskInstances/{task}", json={"new_state": state})

    def request(self, run_id: str, task: str) -> dict[str, Any]:
        """Return what a task asks a person for, with the answer, if there is one."""
        return self._ask("GET", f"/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails")

    def answer(self, run_id: str, task: str, option: str) -> None:
        """Answer a task's request, as a click on the option does."""
        answer = {"chosen_options": [option], "params_input": {}}
        self._ask("PATCH", f"/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails", json=answer)

    def events(self) -> list[dict[str, Any]]:
        """Return the last asset events of this DAG, the newest first."""
        asked = {"source_dag_id": self.dag, "order_by": "-timestamp", "limit": 50}
        return list(self._send("GET", "/assets/events", params=asked).json()["asset_events"])
