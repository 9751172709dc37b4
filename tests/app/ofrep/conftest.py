"""A running service for OpenFeature's own clients. It requires a key, and its run has a lottery in Peru."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from dev.services.postgres import Postgres
from tests.app.conftest import Tables, served
from tests.app.outcomes import draws
from tests.conftest import ROOT

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


def example(language: str, service: Service) -> str:
    """Return the program in this language of docs/api.md, with the address and key of the service."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "api.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return found.replace("http://localhost:8000", service.url).replace("Bearer KEY", f"Bearer {KEY}")
