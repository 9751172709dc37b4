"""A Compose project in a clean copy of the checkout, with its own name and ports. Used only by the compose tests."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from dev.ports import free_port
from dev.processes import until
from dev.services.airflow_client import Client
from dev.services.api import Service
from dev.stack.stack import DAG
from proofs.support.checkout import copy_checkout

ALWAYS = ("postgres", "s3", "airflow-api", "airflow-scheduler", "airflow-dags", "api")


@dataclass(frozen=True)
class Project:
    """A copy of the checkout in `folder`. `environment` is what a caller's shell would set."""

    folder: Path
    environment: Mapping[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def copy(cls, folder: Path, name: str = "voucher-select-test") -> "Project":
        """Copy the checkout to `folder`, without a developer's .env."""
        copy_checkout(folder)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        ports = {name: str(free_port()) for name in ("API_PORT", "AIRFLOW_PORT", "NOTEBOOK_PORT")}
        owner = f"{os.geteuid()}:{os.getegid()}"
        return cls(folder, kept | ports | {"COMPOSE_PROJECT_NAME": name, "NOTEBOOK_USER": owner})

    def run(self, *command: str, check: bool = True, **more: str) -> str:
        """Run a command and return its stdout and stderr. Fail the test with this output if the command fails."""
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert not check or not ended.returncode, f"{' '.join(command)} failed:\n{ended.stdout[-5000:]}"
        return ended.stdout

    def compose(self, *words: str, check: bool = True, **more: str) -> str:
        return self.run("docker", "compose", *words, check=check, **more)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - began
        print(f"\n  {what:<60}{self.seconds[what]:6.1f} s", flush=True)

    @cached_property
    def api(self) -> Service:
        return Service(self.folder, int(self.environment["API_PORT"]))

    @cached_property
    def airflow(self) -> Client:
        return Client(f"http://127.0.0.1:{self.environment['AIRFLOW_PORT']}", DAG)

    def log_in_again(self) -> None:
        """Drop the Airflow client, because Airflow's secret or database has changed."""
        self.__dict__.pop("airflow", None)

    def published(self) -> dict[str, Any]:
        """Return what clients see of the published run: each segment's amount, votes and runner-up, and the rules."""
        paths = ("/segments.csv", "/rules")
        return {path: requests.get(f"{self.api.url}{path}", timeout=30).text for path in paths}

    def switched_on(self) -> None:
        """Switch Voucher_Select on, and wait until its first run has succeeded."""
        assert until(self.airflow.known, 60), self.airflow.import_errors()
        self.airflow.pause(False)
        assert until(lambda: bool(self.airflow.runs()), 60), "switching on started no run"
        self.ended(self.airflow.runs()[0]["dag_run_id"])

    def ended(self, run_id: str, seconds: float = 240) -> None:
        assert until(lambda: self.airflow.run(run_id)["state"] in {"success", "failed"}, seconds), self.airflow.tasks(
            run_id
        )
        assert self.airflow.run(run_id)["state"] == "success", (
            self.airflow.tasks(run_id), self.compose("logs", "--tail=100", "airflow-scheduler")
        )  # fmt: skip

    def container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).strip()

    def state(self, service: str) -> dict[str, Any]:
        """Return Docker's record of the service's container: State.Pid, State.Health.Status, RestartCount and so on."""
        found: dict[str, Any] = json.loads(self.run("docker", "inspect", self.container(service)))[0]
        return found

    def healthy(self, service: str) -> bool:
        state = self.state(service)["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")
