"""What the app takes from its environment, read once by create_app. Tests pass the values themselves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024  # of /voucher; a customer takes 200
MAX_BULK_BYTES = 4 * 1024 * 1024  # of /vouchers; 10,000 customers take 2 MB
WAY_OUT = "`make up` writes .local/env, which sets both: source it by `. .local/env`."


class SettingsError(ValueError):
    """A variable is missing or cannot be read; the message names it and the way out, never the value of a secret."""


@dataclass(frozen=True)
class Settings:
    database_url: URL
    max_age_hours: float = 36  # a published run checked longer ago than this is not fresh
    poll_seconds: float = 0.25  # a new run has to be served within a second
    downloads: int = 4  # at once in each worker: each takes a thread and up to 6 MB, the kernel's buffer aside
    stalled_seconds: float = 60  # what a reader may pause; a laptop that fell asleep makes room for others
    longest_download_seconds: float = 3600  # a million rows are 80 MB: at 1 Mbit/s, eleven minutes

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        return cls(database_url=_database_url(environ), max_age_hours=_hours(environ, "VOUCHER_MAX_AGE_HOURS", 36))


def database_url(text: str) -> URL:
    """The URL with the driver that the app brings along; SQLAlchemy 2.1 would choose another. Raises ArgumentError."""
    return make_url(text).set(drivername="postgresql+psycopg2")


def _database_url(environ: Mapping[str, str]) -> URL:
    name = "API_DATABASE_URL"
    if not environ.get(name):
        if environ.get("VOUCHER_ENV") == "production":
            raise SettingsError(
                f"{name} is not set, and VOUCHER_ENV=production allows no fallback. Set it to the API's role."
            )
        if not environ.get("DATABASE_URL"):
            raise SettingsError(f"Neither {name} nor DATABASE_URL is set. {WAY_OUT}")
        log.warning(f"{name} is not set: using DATABASE_URL, the role of the owner")
        name = "DATABASE_URL"
    try:
        return database_url(environ[name])
    except ArgumentError as error:
        raise SettingsError(f"{name} is not a URL like postgresql://role:password@host:5432/database.") from error


def _hours(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours < math.inf:
        raise SettingsError(f"{name}={text} is not a number of hours above 0. Leave it unset for {default}.")
    return hours
