"""Numbered histories in which no two answers are equal: an amount identifies its history and customer.

All have the same `data_to`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.rules.segments import SegmentBook

COUNTRIES = ("Peru", "Latvia", "Estonia")
TODAY = date(2020, 6, 1)
ROWS = 80  # rows that vote for an answer
ANSWER = re.compile(rb'\{"voucher_amount":(\d+)\}\n')


@dataclass(frozen=True)
class Customer:
    """A customer of one segment of one country. `place` is its number among all customers."""

    place: int
    country: str
    kind: str
    measure: str
    measured: int

    @property
    def fields(self) -> dict[str, Any]:
        if self.measure == "total_orders":
            return {"total_orders": self.measured, "last_order_ts": None}
        return {"total_orders": 20, "last_order_ts": (TODAY - timedelta(days=self.measured)).isoformat()}

    @property
    def request(self) -> bytes:
        return json.dumps({"country_code": self.country, "segment_name": self.kind} | self.fields).encode()

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return the rows that make its answer. Without a last order there is one row more, to outvote the others."""
        fields = self.fields | {"timestamp": TODAY.isoformat(), "country_code": self.country}
        row = fields | {"first_order_ts": fields["last_order_ts"], "voucher_amount": float(number * 100 + self.place)}
        return [row] * (ROWS + (self.measure == "total_orders"))

    def number(self, body: bytes) -> int:
        """Return the history that an answer is from. Raise ValueError if it is not for this customer."""
        found = ANSWER.fullmatch(body)
        number, place = divmod(int(found[1]), 100) if found else (0, -1)
        if place != self.place:
            raise ValueError(f"{self.country} {self.kind} {self.measured} was answered {body[:80]!r}")
        return number


def _customers() -> tuple[Customer, ...]:
    asked = [
        (country, kind.name, kind.measure, segment.lower)
        for country in COUNTRIES
        for kind in SegmentBook.load().kinds
        for segment in kind.segments
    ]
    return tuple(Customer(place, *each) for place, each in enumerate(asked))


CUSTOMERS = _customers()
TYPES = {
    **dict.fromkeys(("timestamp", "country_code", "last_order_ts", "first_order_ts"), pa.string()),
    "total_orders": pa.int32(),
    "voucher_amount": pa.float64(),
}


def write(folder: Path, number: int, customers: Sequence[Customer] = CUSTOMERS) -> Path:
    """Write the history of these customers as Parquet."""
    path = folder / f"history-{number}.parquet"
    rows = [row for customer in customers for row in customer.rows(number)]
    pq.write_table(pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}), path)
    return path


def number_of(source: str) -> int:
    return int(source.rpartition("-")[2].removesuffix(".parquet"))
