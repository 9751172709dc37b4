"""Errors that become HTTP responses. The module that raises an error defines it; `problems` turns it into JSON."""

import reprlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

MAX_ECHO = 100  # characters of a value that a response repeats


class ApiError(Exception):
    """`detail` says what is wrong and what to do, `members` are further fields of the response, `reason` is logged."""

    status: ClassVar[HTTPStatus]
    type: ClassVar[str]  # as in urn:voucher-select:bad-value
    title: ClassVar[str]
    retry_after: ClassVar[int | None] = None  # seconds

    def __init__(self, detail: str, *, reason: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.members = members


class CustomerError(ApiError):
    """An error in one customer: in a bulk request, the others are still answered."""


@dataclass(frozen=True)
class BadValue:
    """What is wrong with a field. `given` is empty if the field was missing, else it holds the one value sent."""

    field: str
    detail: str
    given: tuple[Any, ...] = ()


class BadValuesError(CustomerError):
    """Fields of a body, or parameters of a query, that cannot be used."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "bad-value"
    title = "A field cannot be used"

    def __init__(self, *values: BadValue) -> None:
        detail = "; ".join(f"{bad.field} {bad.detail}" for bad in values)
        errors = [
            {"field": bad.field, "detail": bad.detail, **({"value": echo(bad.given[0])} if bad.given else {})}
            for bad in values
        ]
        super().__init__(f"{detail}.", errors=errors)


def echo(value: object) -> object:
    """Return the value itself if it is short and JSON can represent it, otherwise a text of limited length."""
    if value is None or (isinstance(value, int | float) and abs(value) < 10**15):  # not NaN, nor infinity
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_ECHO else f"{value[:MAX_ECHO]}…"
    return reprlib.repr(value)  # cuts lists, objects and long numbers, however deep
