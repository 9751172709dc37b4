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

from pipeline.rules.measures import MEASURES
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
        unknown = {"total_orders": 20, "last_order_ts": None, "first_order_ts": None}
        measure = MEASURES[self.measure]
        days = measure.unit == "days"
        return unknown | {measure.field: (TODAY - timedelta(self.measured)).isoformat() if days else self.measured}

    @property
    def request(self) -> bytes:
        return json.dumps({"country_code": self.country, "segment_name": self.kind} | self.fields).encode()

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return the rows that make its answer. If it measures orders there is one more, to outvote the others."""
        answer = {"country_code": self.country, "voucher_amount": float(number * 100 + self.place)}
        row = self.fields | answer | {"timestamp": TODAY.isoformat()}
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
