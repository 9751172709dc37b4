"""A running service for OpenFeature's own clients. It requires a key, and its run has a lottery in Peru."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.services.postgres import Postgres
from tests.app.conftest import Tables, served
from tests.app.outcomes import draws
from tests.conftest import ROOT, missing

CLIENTS = ROOT / "tests" / "ofrep"
KEY = "a-key-of-16-or-more"
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}


@dataclass(frozen=True)
class Service:
    url: str

    def voucher(self, **fields: object) -> dict[str, Any]:
        """Return the explanation that `/voucher` gives to a customer."""
        asked = {"params": {"explain": "true"}, "headers": {"Authorization": f"Bearer {KEY}"}, "timeout": 10}
        found: dict[str, Any] = requests.post(f"{self.url}/voucher", json=CUSTOMER | fields, **asked).json()  # type: ignore[arg-type]
        return found


@pytest.fixture(scope="session")
def service(postgres: Postgres, template: str) -> Iterator[Service]:
    postgres.create("flag", template)
    Tables(postgres.url("flag")).publish(countries={"Peru": 30, "Latvia": 90}, draws=draws())
    with served(postgres.url("flag"), VOUCHER_API_KEYS=KEY) as url:
        yield Service(url)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the programs and the clients that they call."""
    folder = tmp_path_factory.mktemp("openfeature")
    if not (shutil.which("npm") and shutil.which("node")):
        missing("there is no npm: `apt-get install npm` brings it")
    for name in ("package.json", "package-lock.json", "server.mjs", "web.mjs", "page.html"):
        shutil.copy(CLIENTS / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode:
        missing(f"npm could not install OpenFeature's clients: {ended.stderr[-500:]}")
    return folder


def example(language: str, service: Service) -> str:
    """Return the program in this language of docs/api.md, with the address and key of the service."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "api.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return found.replace("http://localhost:8000", service.url).replace("Bearer KEY", f"Bearer {KEY}")
