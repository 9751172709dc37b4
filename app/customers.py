"""The customers of a body that holds many: a JSON array, or NDJSON, one a line. Called by `vouchers`.

Nearly all customers are plain: nothing but the known fields, of the right types. msgspec decodes those in a fifth of
the time of Customer.read. It must never take what Customer.read would not, so whatever is not plain is left to that.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from app.customer import BrokenJSONError, Customer, parsed, text, utc_day

MOST = 10_000  # in a call
NDJSON = ("application/x-ndjson", "application/jsonl")  # no name of it is registered; these two are common


class TooManyCustomersError(ValueError):
    def __init__(self, found: int) -> None:
        super().__init__(f"A call may have {MOST:,} customers, and this one has {found:,}.")


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    country_code: str
    segment_name: str
    customer_id: int | str | UnsetType | None = UNSET
    total_orders: Annotated[int, msgspec.Meta(ge=0)] | UnsetType | None = UNSET
    last_order_ts: str | UnsetType | None = UNSET
    first_order_ts: str | UnsetType | None = UNSET


_plain = msgspec.json.Decoder(_Plain)
_elements = msgspec.json.Decoder(list[msgspec.Raw])


def of_lines(body: bytes) -> list[Customer | bytes]:
    """The customers of NDJSON, or where one is not plain, its text. Blank lines are passed over.

    Raises TooManyCustomersError.
    """
    return _read(body, [line for line in body.split(b"\n") if line.strip(b" \t\r")])


def of_array(body: bytes) -> list[Customer | bytes]:
    """The customers of a JSON array, or where one is not plain, its text.

    Raises BrokenJSONError where the body is no JSON array, or TooManyCustomersError.
    """
    try:
        return _read(body, _elements.decode(body))
    except (msgspec.MsgspecError, RecursionError):  # the standard library is more lenient, and says what is wrong
        return _read(body, list(_texts(body)))


def _read(body: bytes, texts: Sequence[bytes | msgspec.Raw]) -> list[Customer | bytes]:
    if len(texts) > MOST:
        raise TooManyCustomersError(len(texts))
    found = [_decoded(one) for one in texts]
    if _some_name_stands_twice(body, texts, found):
        return [bytes(one) for one in texts]
    return [(plain and _customer(plain)) or bytes(one) for one, plain in zip(texts, found, strict=True)]


def _decoded(one: bytes | msgspec.Raw) -> _Plain | None:
    try:
        return _plain.decode(one)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _some_name_stands_twice(body: bytes, texts: Sequence[bytes | msgspec.Raw], found: Sequence[_Plain | None]) -> bool:
    """Perhaps: msgspec takes the last of the two, but then the body has more quotes than what was read of it."""
    if b"\\" in body and (b'\\"' in body or b"\\u0022" in body):
        return True  # in a text they would be counted too
    read = msgspec.json.encode([plain for plain in found if plain]).count(b'"')
    left = sum(bytes(one).count(b'"') for one, plain in zip(texts, found, strict=True) if plain is None)
    return body.count(b'"') != read + left


def _customer(plain: _Plain) -> Customer | None:
    try:
        return Customer(
            text(plain.country_code),
            text(plain.segment_name),
            None if plain.total_orders is UNSET else plain.total_orders,
            None if plain.last_order_ts is UNSET else utc_day(plain.last_order_ts),
            None if plain.first_order_ts is UNSET else utc_day(plain.first_order_ts),
        )
    except ValueError:
        return None


_lenient = json.JSONDecoder(parse_int=str, strict=False)  # takes a name twice, and a number of any length
_gap = re.compile(r"[ \t\n\r,]*").match


def _texts(body: bytes) -> Iterator[bytes]:
    """The text of each element of an array. Raises BrokenJSONError where that is not what the body is."""
    errors = "surrogateescape"  # bytes that are not UTF-8 are a matter of the customer who has them
    if not isinstance(parsed(body, _lenient, errors), list):
        raise BrokenJSONError('The body is JSON, but not an array: write [{"country_code": …}, …].')
    array = body.decode(errors=errors)
    at = _after_gap(array, array.index("[") + 1)
    while array[at] != "]":
        _, end = _lenient.raw_decode(array, at)
        yield array[at:end].encode(errors=errors)
        at = _after_gap(array, end)


def _after_gap(array: str, at: int) -> int:
    found = _gap(array, at)
    return found.end() if found else at
