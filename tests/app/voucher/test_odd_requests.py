"""Malformed and unusual requests: each gets the expected status, none a 5xx, and no response contains markup."""

import pytest

from proofs.service.odd_requests import ODD, Odd
from tests.app.conftest import Ask


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.what)
def test_odd_requests_get_the_answer_that_the_table_says(standing: Ask, odd: Odd) -> None:
    """Each odd request gets its expected status; a problem names the invalid field and contains no markup."""
    response = standing.client.post("/voucher", data=odd.body, headers=odd.headers)
    assert response.status_code == odd.status, response.text
    assert b"<" not in response.data
    assert response.mimetype == ("application/json" if odd.status == 200 else "application/problem+json")
    assert not odd.wrong or [error["field"] for error in response.json["errors"]] == [odd.wrong]
    assert len(response.data) < 2000, "what is echoed is cut"
