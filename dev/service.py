"""The API as a process, and the question of the README asked of it. Used by `up`."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from dev.processes import Processes, StackError

CUSTOMER = {
    "customer_id": 123,
    "country_code": "Peru",
    "last_order_ts": "2018-05-03 00:00:00",
    "first_order_ts": "2017-05-03 00:00:00",
    "total_orders": 15,
    "segment_name": "recency_segment",
}


def granian(factory: str, port: int) -> list[str]:
    """The command that serves a WSGI app; the benchmarks serve theirs by the same."""
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", factory]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--respawn-failed-workers"]


@dataclass(frozen=True)
class Service:
    """The API on `port`, with its record and log in `folder`."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, env: Mapping[str, str], settings: str) -> None:
        """Start it where it does not run, and wait until it answers, be it that nothing is published yet."""
        processes = Processes(self.folder)
        if not processes.running("api"):
            env = {**env, "PROMETHEUS_MULTIPROC_DIR": str(self._empty("metrics"))}
            processes.start("api", granian("app:create_app", self.port), env, settings=settings, port=self.port)
        processes.wait(["api"], self.healthy)

    def _empty(self, name: str) -> Path:
        """A folder for what the workers of one start share: counts of an earlier one would go on in it."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/livez", timeout=5).ok
        except requests.RequestException:
            return False

    def run_id(self) -> str | None:
        """The run that the API answers from; None while it has none, or is away."""
        try:
            found: str | None = requests.get(f"{self.url}/readyz", timeout=5).json()["run_id"]
        except (requests.RequestException, ValueError):
            return None
        return found

    def ask(self) -> tuple[str, str]:
        """The answer to the README's customer, of the largest country where the source has no Peru; that country."""
        country, answer = CUSTOMER["country_code"], self._post(CUSTOMER)
        if answer.status_code == 404:
            country = answer.json()["known"][0]
            answer = self._post(CUSTOMER | {"country_code": country})
        if not answer.ok:
            raise StackError(f"POST {self.url}/voucher answered {answer.status_code}: {answer.text}")
        return str(country), json.dumps(answer.json(), separators=(",", ":"))

    def _post(self, customer: Mapping[str, object]) -> requests.Response:
        return requests.post(f"{self.url}/voucher", json=customer, timeout=30)
