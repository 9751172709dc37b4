"""Posts files of customers, and reads their answers."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.app.conftest import Ask

Post = Callable[..., TestResponse]
HEADER = "country_code,segment_name,total_orders"
GOOD = "Peru,frequent_segment,3"  # gets 1000


@pytest.fixture
def post(standing: Ask) -> Post:
    """Return a function that posts a file, with query parameters, to the shared app."""

    def post(body: str | bytes, content_type: str = "text/csv", **query: Any) -> TestResponse:
        return standing.client.post("/vouchers", data=body, content_type=content_type, query_string=query)

    return post


def rows(response: TestResponse, separator: str = ",") -> list[dict[str, str]]:
    """Return the lines of an answer by the names of their columns."""
    assert response.status_code == 200, response.text
    return [*csv.DictReader(io.StringIO(response.text, newline=""), delimiter=separator)]


def answered(response: TestResponse) -> list[tuple[str, str]]:
    """Return the amount and the problem of each line."""
    return [(row["voucher_amount"], row["problem"]) for row in rows(response)]
