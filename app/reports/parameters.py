"""The query parameters of the reports, and the error for an invalid value."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn, Protocol, TypeVar

from flask import request
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.json_schema import SkipJsonSchema

from app.errors import BadValue, BadValuesError
from app.published.snapshot import Snapshot
from app.voucher.customer import SPELLINGS, TEXT, text
from app.voucher.parameters import RUN_ID, SHORT, run_id
from shared.countries import country_key


def _limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 100:
        raise ValueError("must be a whole number from 1 to 100")
    return int(value)


Country = Annotated[str, PlainValidator(text), WithJsonSchema(TEXT)]
RunId = Annotated[str, PlainValidator(run_id), WithJsonSchema({"type": "string", "pattern": f"^{RUN_ID.pattern}$"})]
Limit = Annotated[
    int, PlainValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
]


def _no_null(schema: dict[str, Any]) -> None:
    """Remove the default null of optional parameters: generated clients would send it as the text "null"."""
    for parameter in schema["properties"].values():
        if "default" in parameter and parameter["default"] is None:
            del parameter["default"]


class Query(BaseModel):
    """Query parameters, each of which may be given once."""

    model_config = ConfigDict(frozen=True, json_schema_extra=_no_null)

    @field_validator("*", mode="before")
    @classmethod
    def once(cls, value: object, info: ValidationInfo) -> object:
        if len(request.args.getlist(str(info.field_name))) > 1:  # `value` is the first one
            raise ValueError("must be given once")
        return value


class OfCountry(Query):
    country: Country | SkipJsonSchema[None] = Field(
        None, description=f"Only this country. {SPELLINGS} Default: all countries."
    )


class _Row(Protocol):
    @property
    def country_code(self) -> str: ...


R = TypeVar("R", bound=_Row)


def of_country(rows: Iterable[R], run: Snapshot, country: str | None) -> list[R]:
    """Return the rows of this country, or all rows if it is None. Raises the errors of `Snapshot.country`."""
    if country is None:
        return [*rows]
    key = country_key(run.country(country))
    return [row for row in rows if country_key(row.country_code) == key]


class OfRun(Query):
    run: RunId | SkipJsonSchema[None] = Field(None, description=f"{SHORT} Default: the published run.")


class OfRunAndCountry(OfRun, OfCountry):
    pass


class Page(Query):
    limit: Limit = Field(20, description="Maximum number of runs.")
    before: RunId | SkipJsonSchema[None] = Field(
        None, description=f"{SHORT} Only runs that started before it are listed. `next` of a response has it."
    )


def refuse(error: ValidationError) -> NoReturn:
    """Raise BadValuesError, as for invalid fields of a body."""
    found = {str(bad["loc"][0]): str(bad["ctx"]["error"]) for bad in error.errors() if "ctx" in bad}
    raise BadValuesError(
        *(BadValue(name, msg, (", ".join(request.args.getlist(name)),)) for name, msg in found.items())
    ) from None
