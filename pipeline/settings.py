"""What the pipeline reads from its environment, once, at its entry points: the command line and the DAG's tasks."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pipeline import PipelineError

log = logging.getLogger("pipeline")

DEFAULT_MEMORY, LEAST_MEMORY = 1536, 768  # MiB
FIRST_LOOK = "first-look"  # a part of every password and secret that docker-compose.yml comes with
OF_SECRETS = ("DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL", "AIRFLOW")  # how variables with one begin


class SettingsError(PipelineError):
    """A variable that is missing or can't be read."""


@dataclass(frozen=True)
class Settings:
    """source: where the history lies (see source.parts); database_url: the pipeline's own (libpq's form);
    anonymous: read S3 unsigned; today: the pinned reference day or None; keep_runs: of how many published
    runs the cleaned rows are kept; memory: what a process may take, in MiB; dask: a scheduler's address, '' for none;
    rows: where cleaned rows go as Parquet, s3://bucket/prefix/, '' for Postgres.
    """

    source: str
    database_url: str
    anonymous: bool = False
    today: date | None = None
    keep_runs: int = 5
    memory: int = DEFAULT_MEMORY
    dask: str = ""
    rows: str = ""

    @classmethod
    def read(cls, source: str | None = None, environ: Mapping[str, str] = os.environ) -> "Settings":
        """The settings of this environment; `source` goes before VOUCHER_SOURCE.

        Raises SettingsError naming the variable and the way out.
        """
        if not (source or environ.get("VOUCHER_SOURCE")):
            raise SettingsError("VOUCHER_SOURCE is not set; after `make up`, `. .local/env` sets it")
        return cls(
            source=source or environ["VOUCHER_SOURCE"],
            database_url=database_url(environ),
            anonymous=environ.get("VOUCHER_S3_ANONYMOUS", "") not in {"", "0"},
            today=_day(environ.get("TODAY", "")),
            keep_runs=_count(environ, "VOUCHER_KEEP_RUNS", 5, least=1),
            memory=memory(environ),
            dask=_dask(environ.get("VOUCHER_DASK", "")),
            rows=_rows(environ.get("VOUCHER_ROWS", "")),
        )


def database_url(environ: Mapping[str, str]) -> str:
    """Where the tables lie, as the pipeline's own role, or, with a warning, as their owner. Raises SettingsError."""
    refuse_first_look(environ)
    if own := environ.get("PIPELINE_DATABASE_URL"):
        return own
    if environ.get("VOUCHER_ENV") == "production":
        raise SettingsError(
            "PIPELINE_DATABASE_URL is not set, which VOUCHER_ENV=production demands; name the pipeline's role"
        )
    if owner := environ.get("DATABASE_URL", ""):
        log.warning("PIPELINE_DATABASE_URL is not set: the pipeline works as the owner, by DATABASE_URL")
        return owner
    raise SettingsError("DATABASE_URL is not set; after `make up`, `. .local/env` sets it")


def refuse_first_look(environ: Mapping[str, str]) -> None:
    """Raises SettingsError where production would run with a secret that everyone can read; elsewhere it warns."""
    found = (name for name, value in environ.items() if name.startswith(OF_SECRETS) and FIRST_LOOK in value)
    names = ", ".join(sorted(found))
    if names and environ.get("VOUCHER_ENV") == "production":
        raise SettingsError(
            f"the first look's password or secret, which everyone knows, is in {names}, and VOUCHER_ENV=production "
            "refuses it; set your own, as .env.example shows"
        )
    if names:
        log.warning("the first look's password or secret is in %s: set your own before others can reach this", names)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SettingsError(
            f"TODAY is {text!r}, not a day like 2020-05-31; unset it to use each row's own day"
        ) from None


def memory(environ: Mapping[str, str] = os.environ) -> int:
    """How much a process may take, in MiB. Raises SettingsError."""
    return _count(environ, "VOUCHER_MEMORY_MIB", DEFAULT_MEMORY, least=LEAST_MEMORY)


def _count(environ: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name} is {text!r}, not a whole number from {least} upwards")
    return int(text)


def _dask(text: str) -> str:
    if text and not text.startswith(("tcp://", "tls://")):
        raise SettingsError(f"VOUCHER_DASK is {text!r}, not the address of a scheduler like tcp://scheduler:8786")
    return text


def _rows(text: str) -> str:
    if text and not re.fullmatch(r"s3://[^/]+/.+", text):
        raise SettingsError(f"VOUCHER_ROWS is {text!r}, not s3://bucket/prefix/; unset it to keep rows in Postgres")
    return f"{text.rstrip('/')}/" if text else ""
