"""Evaluate the flag `voucher`: the decision of `/voucher`, as an answer of the protocol. Called by `routes`."""

from typing import Any

from app.ofrep.answers import Answers, Headers
from app.ofrep.context import read_context
from app.published.refresher import Published
from app.voucher.customer import Customer
from app.voucher.routes import decide


class Flag:
    """Evaluates the flag from the published run."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._answers: Answers | None = None

    def respond(self, body: bytes) -> tuple[bytes, Headers]:
        """Return the body and headers of a 200 response to the single flag's request.

        Raises the errors of `read_context` and `evaluate`.
        """
        return self.evaluate(read_context(body))

    def evaluate(self, context: dict[str, Any]) -> tuple[bytes, Headers]:
        """Return the evaluation as a JSON object, and its headers.

        Raises the errors of `Customer.from_dict`, `Published.require` and `decide`.
        """
        customer = Customer.from_dict(context)
        snapshot = self._published.require()
        day = snapshot.reference_day
        row, choice, measured = decide(customer, snapshot, day)
        answers = self._answers
        if answers is None or answers.snapshot is not snapshot or answers.day != day:
            answers = self._answers = Answers(snapshot, day)
        return answers.answer(row, choice, measured)
