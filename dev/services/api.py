"""The API as a process, and the request of the README. Used by `up` and by the tests."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Service:
    """The API on `port`, with its record and log in `folder`. `ask` sends `key`, if the API needs one."""

    folder: Path
    port: int
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, env: Mapping[str, str], settings: str) -> None:
        """Start it if it does not run, and wait until it answers, even if nothing is published yet."""
        processes = Processes(self.folder)
        if not processes.running("api"):
            env = {**env, "PROMETHEUS_MULTIPROC_DIR": str(self._empty("metrics"))}
            command = [sys.executable, "-m", "app", "--port", str(self.port)]
            processes.start("api", command, env, settings=settings, port=self.port)
        processes.wait(["api"], self.healthy)

    def _empty(self, name: str) -> Path:
        """Return an empty folder for the metrics that the workers share; counts of an earlier start would be added."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/livez", timeout=5).ok
        except requests.RequestException:
            return False

    def health(self) -> dict[str, Any] | None:
        """Return the answer of /readyz; None if there is none."""
        try:
            found: dict[str, Any] = requests.get(f"{self.url}/readyz", timeout=5).json()
        except (requests.RequestException, ValueError):
            return None
        return found

    def run_id(self) -> str | None:
        """Return the run that the API answers from; None if there is none."""
        health = self.health()
        return str(health["run_id"]) if health and health["run_id"] else None

    def ask(self) -> tuple[str, str]:
        """Return the country and the answer for the README's customer, of the largest country if there is no Peru."""
        country, answer = CUSTOMER["country_code"], self._post(CUSTOMER)
        if answer.status_code == 404:
            country = answer.json()["known"][0]
            answer = self._post(CUSTOMER | {"country_code": country})
        if not answer.ok:
            raise StackError(f"POST {self.url}/voucher answered {answer.status_code}: {answer.text}")
        return str(country), json.dumps(answer.json(), separators=(",", ":"))

    def _post(self, customer: Mapping[str, object]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            return requests.post(f"{self.url}/voucher", json=customer, headers=headers, timeout=30)
        except requests.RequestException as error:
            raise StackError(f"POST {self.url}/voucher was not answered: {error}. See `make logs PART=api`") from None
