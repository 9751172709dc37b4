"""The lottery of a run: who draws, which amount, and how likely that was."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.app.conftest import KINDS, Ask
from tests.app.outcomes import SALT, draws
from tests.app.voucher.test_fast import Paths

Publish = Callable[..., None]

AMOUNTS = (1000, 1500, 2500, 3500, 4500)  # that take part; 1000 is the table's amount in the segment 0-4
HELD = 900
HOLDOUT, LOTTERY = Fraction(2, 100), Fraction(6, 100)
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}


def defined(customer_id: str, table: int) -> tuple[int, str, Fraction]:
    """Return amount, arm and probability as docs/effects.md defines them, in rational numbers."""
    hashed = sha256(SALT.encode() + b"\x1f" + customer_id.encode()).digest()
    place = Fraction(int.from_bytes(hashed[:8], "big"), 2**64)
    if place < HOLDOUT:
        amount, arm = HELD, "holdout"
    elif place < HOLDOUT + LOTTERY:
        amount, arm = AMOUNTS[int((place - HOLDOUT) / (LOTTERY / len(AMOUNTS)))], "lottery"
    else:
        amount, arm = table, "table"
    likely = (1 - HOLDOUT - LOTTERY) * (amount == table) + HOLDOUT * (amount == HELD)
    return amount, arm, likely + LOTTERY / len(AMOUNTS) * (amount in AMOUNTS)


@pytest.fixture
def drawing(publish: Publish, client: FlaskClient) -> FlaskClient:
    publish(countries={"Peru": 30, "Latvia": 90}, draws=draws())
    return client


def test_each_customer_gets_what_the_definition_says(drawing: FlaskClient) -> None:
    """Body, headers and explanation have the amount, arm and probability of the definition; bulk answers are alike."""
    ids = [*(f"customer {number}" for number in range(400)), "ü", "a\x1fb", " 7"]
    customers = [CUSTOMER | {"customer_id": each} for each in ids]
    expected = [defined(each, 1000) for each in ids]
    assert {arm for _, arm, _ in expected} == {"table", "lottery", "holdout"}
    for customer, (amount, arm, likely) in zip(customers, expected, strict=True):
        response = drawing.post("/voucher", json=customer)
        assert response.json == {"voucher_amount": amount}, customer
        assert response.headers["Voucher-Chosen-By"] == arm
        assert float(response.headers["Voucher-Propensity"]) == float(likely)
    bodies = {
        "application/json": json.dumps(customers),
        "application/x-ndjson": "".join(f"{json.dumps(customer)}\n" for customer in customers),
    }
    for media_type, body in bodies.items():
        plain, explained = (
            [*map(json.loads, found.splitlines())] if media_type.endswith("ndjson") else json.loads(found)
            for found in (
                drawing.post(f"/vouchers?explain={explain}", data=body, content_type=media_type).text
                for explain in ("false", "true")
            )
        )
        assert plain == [{"voucher_amount": amount} for amount, *_ in expected]
        names = ("voucher_amount", "chosen_by", "propensity", "table_amount")
        assert [tuple(each[name] for name in names) for each in explained] == [
            (amount, arm, float(likely), 1000) for amount, arm, likely in expected
        ]


def test_an_id_is_its_text(drawing: FlaskClient) -> None:
    """123, 123.0 and "123" are one customer."""
    for number in range(300):
        found = {
            Ask(drawing)(customer_id=each).headers["Voucher-Chosen-By"] for each in (number, float(number), f"{number}")
        }
        assert found == {defined(f"{number}", 1000)[1]}


@pytest.mark.parametrize("absent", [None, "", " \t", True, [1], {"id": 1}])
def test_who_has_no_id_draws_nothing(drawing: FlaskClient, absent: Any) -> None:
    """Without an id that is text or a number, the table's amount is answered with propensity 1, for everyone."""
    for customer in (CUSTOMER | {"customer_id": absent}, CUSTOMER):
        response = drawing.post("/voucher", json=customer)
        assert response.json == {"voucher_amount": 1000}
        assert (response.headers["Voucher-Chosen-By"], response.headers["Voucher-Propensity"]) == ("table", "1")


def test_a_country_without_a_lottery(drawing: FlaskClient) -> None:
    """Where the run has no draws, each id gets the table's amount with propensity 1."""
    found = [Ask(drawing)(country_code="Latvia", customer_id=number) for number in range(50)]
    assert {(each.data, each.headers["Voucher-Propensity"]) for each in found} == {(b'{"voucher_amount":1000}\n', "1")}


def test_the_probabilities_of_a_segment_are_one_together(drawing: FlaskClient) -> None:
    """In each segment the probabilities of the amounts add up to 1 exactly, and those of the ways to get one too."""
    run = drawing.application.extensions["published"].snapshot
    rows = [row for row in run.segments if row.country_code == "Peru"]
    assert len(rows) == sum(len(bounds) for _, bounds in KINDS.values())
    for row in rows:
        lottery = run.lottery(row)
        assert sum({choice.voucher_amount: choice.propensity for choice in lottery.choices}.values()) == 1
        assert lottery.shares == {"holdout": HOLDOUT, "lottery": LOTTERY, "table": 1 - HOLDOUT - LOTTERY}


def test_without_flask_the_draw_is_the_same(drawing: FlaskClient) -> None:
    """The fast path answers customers with an id without Flask, with the same body and headers."""
    app = drawing.application
    assert isinstance(app, Flask)
    paths, arms = Paths(app), set()
    for number in range(150):
        answer, fast = paths.ask(body=json.dumps(CUSTOMER | {"customer_id": number}).encode())
        assert fast
        arms.add(answer.headers["Voucher-Chosen-By"])
    assert arms == {"table", "lottery", "holdout"}


def test_another_salt_or_another_run(publish: Publish, drawing: FlaskClient) -> None:
    """The same id keeps its amount in the next run with the same draws, and another salt draws anew."""
    first = [Ask(drawing)(customer_id=number).data for number in range(200)]
    publish("b" * 16, draws=draws())
    assert [Ask(drawing)(customer_id=number).data for number in range(200)] == first
    salted = [replace(each, salt="autumn") for each in draws()]
    publish("c" * 16, draws=salted)
    assert [Ask(drawing)(customer_id=number).data for number in range(200)] != first
