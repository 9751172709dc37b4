"""Errors that become HTTP responses. The module that raises an error defines it; `problems` converts it to JSON."""

import reprlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

MAX_ECHO = 100  # characters of a value that a response repeats


class ApiError(Exception):
    """An error that becomes a response.

    `detail` says what is wrong and what to do, `members` are further fields of the response, and `reason` is logged.
    """

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
    """An error in one customer. In a bulk request, the other customers still get an answer."""


@dataclass(frozen=True)
class BadValue:
    """An invalid field and the reason. `given` is empty if the field is missing, otherwise it holds the value sent."""

    field: str
    detail: str
    given: tuple[Any, ...] = ()


class BadValuesError(CustomerError):
    """Fields of a body or parameters of a query are invalid."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "bad-value"
    title = "Invalid field"

    def __init__(self, *values: BadValue) -> None:
        detail = "; ".join(f"{bad.field} {bad.detail}" for bad in values)
        errors = [
            {"field": bad.field, "detail": bad.detail, **({"value": echo(bad.given[0])} if bad.given else {})}
            for bad in values
        ]
        super().__init__(f"{detail}.", errors=errors)


def echo(value: object) -> object:
    """Return the value itself if it is short and JSON can represent it, otherwise a shortened text."""
    if value is None or (isinstance(value, int | float) and abs(value) < 10**15):  # false for NaN and infinity
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_ECHO else f"{value[:MAX_ECHO]}…"
    return reprlib.repr(value)  # shortens lists, objects and long numbers at any depth
