"""What may stand behind the question mark of a path, and how a value that can't be used is told."""

import re
from typing import Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.customer import SPELLINGS, TEXT, BadValue, BadValuesError, text

RUN_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


def _country(value: object) -> str:
    try:
        return text(value)
    except ValueError as error:
        raise PydanticCustomError("text", "{why}", {"why": str(error)}) from None


def _run_id(value: str) -> str:
    if not RUN_ID.fullmatch(value):
        raise PydanticCustomError("run_id", "must be a run's id, 16 digits from 0 to f; /runs lists them")
    return value


def _limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 100:
        raise PydanticCustomError("limit", "must be a whole number from 1 to 100")
    return int(value)


Country = Annotated[str, PlainValidator(_country), WithJsonSchema(TEXT)]
RunId = Annotated[str, PlainValidator(_run_id), WithJsonSchema({"type": "string", "pattern": f"^{RUN_ID.pattern}$"})]
Limit = Annotated[
    int, PlainValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
]


class OfCountry(BaseModel):
    model_config = ConfigDict(frozen=True)

    country: Country | None = Field(None, description=f"One country only. {SPELLINGS} Unset: all.")


class OfRun(BaseModel):
    model_config = ConfigDict(frozen=True)

    run: RunId | None = Field(None, description="Another run than the published one.")


class OfRunAndCountry(OfRun, OfCountry):
    pass


class Page(BaseModel):
    model_config = ConfigDict(frozen=True)

    limit: Limit = Field(20, description="How many runs.")
    before: RunId | None = Field(None, description="Runs that started before this one; `next` of an answer has it.")


def refuse(error: ValidationError) -> NoReturn:
    """Told as a bad field of a body is. Raises BadValuesError."""
    values = [BadValue(str(bad["loc"][0]), bad["msg"], (bad["input"],)) for bad in error.errors(include_url=False)]
    raise BadValuesError(*values) from None
