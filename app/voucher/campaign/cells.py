"""Read the fields of a customer from the cells of a CSV record, which are text. Used by `answers`."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any

from app.errors import BadValue, BadValuesError
from app.voucher.customer import REQUIRED, Customer, text, utc_day

NUMBER = re.compile(r"(\d{1,18})(?:\.0*)?", re.ASCII)  # pandas writes a column of numbers with gaps as 15.0
REWRITTEN = re.compile(r"\d{1,4}[./-]\d\d?[./-]\d{1,4}(?: .*)?", re.ASCII)  # a date, as Excel shows it


def whole_number(cell: str) -> int:
    found = NUMBER.fullmatch(cell)
    if not found:
        raise ValueError("must be a whole number of at least 0, without separators for thousands")
    return int(found[1])


def day(cell: str) -> date | None:
    try:
        return utc_day(cell)
    except ValueError:
        if REWRITTEN.fullmatch(cell) and not re.match(r"\d{4}-\d\d-\d\d", cell, re.ASCII):
            raise ValueError("must be written like 2018-05-03 (in Excel, format the cells as yyyy-mm-dd)") from None
        raise


READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "country_code": text,
        "segment_name": text,
        "total_orders": whole_number,
        "last_order_ts": day,
        "first_order_ts": day,
        "customer_id": str,
    }
)


class CustomerReader:
    """Reads customers from records whose columns are known."""

    def __init__(self, places: Mapping[str, int], given: Mapping[str, str]) -> None:
        """`places` has the position of each field's cell, `given` the fields that all customers share."""
        self._readers = [(name, place, READERS[name]) for name, place in places.items()]
        self._given = dict(given)

    def read(self, cells: Sequence[str]) -> Customer:
        """Return the customer. Raises BadValuesError with every invalid cell. An empty cell is a missing field."""
        found: dict[str, Any] = self._given.copy()
        bad = []
        for name, place, read in self._readers:
            cell = cells[place].strip()
            if not cell:
                continue
            try:
                found[name] = read(cell)
            except ValueError as error:
                bad.append(BadValue(name, str(error), (cell,)))
                found[name] = None
        bad += [BadValue(name, "is required") for name in REQUIRED if name not in found]
        if bad:
            raise BadValuesError(*bad)
        return Customer(**found)
