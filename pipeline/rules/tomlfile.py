"""Read a TOML file into a checked model. Called by `rulebook` and `segments` for the two files that people write."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import PipelineError

CHECKS = ConfigDict(extra="forbid")


class Checked(BaseModel):
    """A table of a file. An unknown key is an error."""

    model_config = CHECKS


Read = TypeVar("Read", bound=Checked)


class FileError(PipelineError):
    """A file that doesn't have the expected content."""


def read(path: Path, model: type[Read]) -> Read:
    """Return the file as `model`. Raises FileError, in one line, with the key and what is wrong with it."""
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as invalid:
        first = invalid.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise FileError(f"{place}: {first['msg']}, not {first['input']!r:.60}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise FileError(str(fault)) from None
