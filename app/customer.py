"""The customer of a request: the one model that is documented and that reads the body. Called by `voucher`."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)


class BrokenJSONError(Exception):
    """The body is no JSON object; the message says why."""


@dataclass(frozen=True)
class BadValue:
    """What is wrong with a field. `given` is empty when the field was missing, else it holds the one value sent."""

    field: str
    detail: str
    given: tuple[Any, ...] = ()


class BadValuesError(ValueError):
    def __init__(self, *values: BadValue) -> None:
        self.values = values
        super().__init__(", ".join(value.field for value in values))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("text", "must be text, and not blank")
    return value


def _whole_number(value: object) -> int:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise PydanticCustomError("whole_number", "must be a whole number, 0 or more, and no text")
    return number


def _utc_day(value: object) -> date:
    if not isinstance(value, str) or not ISO.fullmatch(value):
        raise PydanticCustomError(
            "timestamp", "must be text like 2018-05-03, 2018-05-03 10:30:00 or 2018-05-03T10:30:00Z"
        )
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    except (ValueError, OverflowError):
        raise PydanticCustomError("timestamp", "must be a day and time that exist, in the years 0001 to 9999") from None


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"\S"})]
WholeNumber = Annotated[int, PlainValidator(_whole_number), WithJsonSchema({"type": "integer", "minimum": 0})]
UTCDay = Annotated[
    date,
    PlainValidator(_utc_day),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{ISO.pattern}$",
            "description": "ISO date or date-time; UTC where no zone is given.",
        }
    ),
]


class Customer(BaseModel):
    """`country_code`, `segment_name` and the field which that kind of segment measures are needed."""

    model_config = ConfigDict(frozen=True)

    customer_id: Any = Field(None, description="Taken and not used.")
    country_code: Text = Field(description="Matches whatever its case and outer white space.")
    segment_name: Text = Field(description="The kind of segment to answer from.")
    total_orders: WholeNumber | None = None
    last_order_ts: UTCDay | None = None
    first_order_ts: UTCDay | None = None

    @classmethod
    def read(cls, body: bytes) -> "Customer":
        """Raises BrokenJSONError, or BadValuesError naming every field that cannot be read."""
        try:
            return cls.model_validate(_object(body))
        except ValidationError as error:
            raise BadValuesError(*(_bad_value(found) for found in error.errors(include_url=False))) from None


def _bad_value(found: ErrorDetails) -> BadValue:
    name = str(found["loc"][0])
    return (
        BadValue(name, "is needed") if found["type"] == "missing" else BadValue(name, found["msg"], (found["input"],))
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode(), object_pairs_hook=_no_name_twice)
    except UnicodeDecodeError as error:
        raise BrokenJSONError(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except json.JSONDecodeError as error:
        raise BrokenJSONError(f"The body is not JSON: {error}.") from None
    except ValueError:
        raise BrokenJSONError("The body holds a number of more digits than can be read.") from None
    except RecursionError:
        raise BrokenJSONError("The body is nested too deeply.") from None
    if not isinstance(found, dict):
        raise BrokenJSONError('The body is JSON, but not an object: write {"country_code": …}.')
    return found


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BrokenJSONError(f"The name {twice[:40]!a} stands twice in an object.")
    return found
