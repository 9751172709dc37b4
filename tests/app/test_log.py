"""The lines on stderr."""

import json

import pytest

from tests.app.conftest import Ask


def test_a_request_is_one_line_without_customer_data(standing: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    """Method, path, status, milliseconds and run; nothing of what was asked, whether it was answered or refused."""
    standing(customer_id="somebody", last_order_ts="2018-05-03")
    standing(country_code="Atlantis", customer_id="somebody")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/voucher", 200),
        ("POST", "/voucher", 404),
    ]
    assert lines[0]["run"] == "a" * 16
    assert lines[0]["ms"] >= 0
    for told in ("somebody", "Atlantis", "Peru", "2018-05-03"):
        assert told not in json.dumps(lines).replace(lines[0]["timestamp"], "")
