"""Airflow without Docker: its settings and its three processes. Used by `up` and by the tests."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests

from dev.processes import Processes, StackError
from shared import files

LOGIN = "airflow"  # and the password
PARTS = {
    "airflow-api": ["api-server"],
    "airflow-scheduler": ["scheduler", "--skip-serve-logs"],  # the API server reads the log files itself
    "airflow-dags": ["dag-processor"],
}


@dataclass(frozen=True)
class Airflow:
    """Airflow with all its state in `folder`. `secret` signs messages between its processes; it has 64 characters."""

    folder: Path
    port: int
    dags: Path
    secret: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def home(self) -> Path:
        return self.folder / "airflow"

    @property
    def environment(self) -> dict[str, str]:
        """The settings that differ from Airflow's defaults, and why."""
        settings = {
            "CORE__EXECUTOR": "pipeline.executors.Sequential",
            "CORE__DAGS_FOLDER": self.dags,
            "CORE__LOAD_EXAMPLES": False,
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(hashlib.sha256(self.secret.encode()).digest()).decode(),
            "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks DNS
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{LOGIN}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.home / "passwords.json",
            "API__HOST": "127.0.0.1",
            "API__PORT": self.port,
            "API__BASE_URL": self.url,  # tasks report to it; the default is on port 8080
            "API__SECRET_KEY": self.secret,
            "API__EXPOSE_CONFIG": "non-sensitive-only",
            "API_AUTH__JWT_SECRET": self.secret,
            "LOGGING__NAMESPACE_LEVELS": "http.access=WARNING",  # no line for each request; most are polls
            "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,  # a task costs 1.1 s instead of 5.2 s
            # After a crash, a lost task is run again within a minute instead of ten.
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 15,
            "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 10,
        }
        return {"AIRFLOW_HOME": str(self.home)} | {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}

    def migrate(self, base: Mapping[str, str]) -> bool:
        """Create or upgrade Airflow's own database. Return whether that was necessary."""
        done = self.home / "migrated-to"
        if (self.home / "airflow.db").exists() and done.exists() and done.read_text() == version("apache-airflow"):
            return False
        if not done.exists():  # the first migration was interrupted, and half a schema can't be migrated
            shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        passwords = self.home / "passwords.json"
        passwords.touch(0o600)
        passwords.write_text(json.dumps({LOGIN: LOGIN}))
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        env = {**base, **self.environment}
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise StackError(f"airflow db migrate failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        files.replace(done, version("apache-airflow"))
        return True

    def start(self, base: Mapping[str, str], settings: str = "") -> None:
        """Start those of the three processes that are not running, and wait until all are healthy."""
        for name, command in PARTS.items():
            if not self.processes.running(name):
                argv = [sys.executable, "-m", "airflow", *command]
                port = self.port if name == "airflow-api" else None
                self.processes.start(name, argv, {**base, **self.environment}, settings=settings, port=port)
        self.processes.wait(list(PARTS), self.healthy, seconds=120)

    def healthy(self) -> bool:
        """Return whether all three report that they are healthy."""
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all(health.get(part, {}).get("status") == "healthy" for part in parts)

    def stop(self) -> None:
        for name in (
            "airflow-scheduler",
            "airflow-dags",
            "airflow-api",
        ):  # tasks report to the API server until they end
            self.processes.stop(name)

    def task_log(self, dag: str, run_id: str, task: Mapping[str, Any], lines: int = 8) -> str:
        """Return the end of the log of a task's last attempt, as text, and the path of the log."""
        folder = self.home / "logs" / f"dag_id={dag}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
        path = folder / f"attempt={task['try_number']}.log"
        entries = path.read_text().splitlines() if path.exists() else []
        said = [text for entry in entries if "::" not in (text := _readable(entry))]
        return "\n".join([*said[-lines:], f"The whole log: {path}"])


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return f"    {line}"
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or []]
    return "\n".join(f"    {text}" for text in [f"{entry.get('level', ''):<8} {entry.get('event', '')}", *errors])
