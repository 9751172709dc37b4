"""The lottery of a run: which amount a customer's id draws. Nothing is stored: the same id draws the same amount."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from itertools import accumulate
from types import MappingProxyType
from typing import Literal

ChosenBy = Literal["table", "lottery", "holdout"]


def json_number(amount: Decimal) -> int | float:
    """Return an amount as a JSON number: 2640 or 2640.5."""
    whole = int(amount)
    return whole if whole == amount else float(amount)


@dataclass(frozen=True)
class Draw:
    """A row of voucher.draw. Fields are named after its columns."""

    country_code: str
    segment_name: str
    segment: str
    position: int
    chosen_by: ChosenBy
    voucher_amount: Decimal
    tickets: int
    salt: str


@dataclass(frozen=True)
class Choice:
    """An amount for a customer, how it came about, and how likely a customer of the segment gets it."""

    voucher_amount: Decimal
    chosen_by: ChosenBy = "table"
    propensity: Fraction = Fraction(1)

    @cached_property
    def amount(self) -> int | float:
        return json_number(self.voucher_amount)

    @cached_property
    def answer(self) -> bytes:
        """The JSON body of most responses, cached because it never changes."""
        return json.dumps({"voucher_amount": self.amount}, separators=(",", ":")).encode()

    @cached_property
    def likelihood(self) -> str:
        """The propensity as a decimal number, for a header."""
        return repr(float(self.propensity)) if self.propensity != 1 else "1"


class Lottery:
    """The stretches of a segment, one after the other, and the choice of each.

    `shares` has the share of customers for each way to get an amount that occurs.
    """

    def __init__(self, draws: Iterable[Draw]) -> None:
        """Take all draws of one segment."""
        rows = sorted(draws, key=lambda draw: draw.position)
        self._ends = [*accumulate(row.tickets for row in rows)]
        self._tickets = self._ends[-1]
        self._salt = sha256(f"{rows[0].salt}\x1f".encode())
        of_amount = {row.voucher_amount: 0 for row in rows}
        drawn: dict[ChosenBy, Fraction] = {}
        for row in rows:
            of_amount[row.voucher_amount] += row.tickets
            drawn[row.chosen_by] = drawn.get(row.chosen_by, Fraction(0)) + Fraction(row.tickets, self._tickets)
        self.shares: Mapping[ChosenBy, Fraction] = MappingProxyType(drawn)
        self.choices = [
            Choice(row.voucher_amount, row.chosen_by, Fraction(of_amount[row.voucher_amount], self._tickets))
            for row in rows
        ]

    def amounts(self, chosen_by: ChosenBy) -> list[int | float]:
        """Return the amounts that customers get in this way, smallest first."""
        return sorted({choice.amount for choice in self.choices if choice.chosen_by == chosen_by})

    def draw(self, customer_id: str) -> Choice:
        """Return the choice for this customer, by the first 64 bits of a hash of salt and id."""
        salted = self._salt.copy()
        salted.update(customer_id.encode("utf-8", "surrogatepass"))
        ticket = int.from_bytes(salted.digest()[:8], "big") * self._tickets >> 64
        return self.choices[bisect_right(self._ends, ticket)]
