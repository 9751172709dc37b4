"""Read the pipeline's settings from the environment, once, where the command line or a DAG's task starts."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from pipeline import PipelineError
from pipeline.receiver import Receiver
from shared import environment
from shared.addresses import redact
from shared.environment import DEFAULT_SECRET, is_production
from shared.postgres import Address

log = logging.getLogger("pipeline")

DEFAULT_MEMORY, LEAST_MEMORY = 1536, 768  # MiB
DAY, YEAR = 24 * 60 * 60, 365.0 * 24  # seconds, and hours
PLAIN_HOST, PLAIN_PLACE = re.compile(r"[\w.-]+:\d+"), re.compile(r"/[\w./-]*|s3://[\w.-]+/?")
PLAIN_PAGE = re.compile(r"[\w.-]+(:\d+)?(/[\w./-]*)?")
PAGE = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?(/[\w.~%/-]*)?")  # without user, query and fragment
OF_SECRETS = ("DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL", "AIRFLOW")  # how variables with one begin


class SettingsError(PipelineError):
    """A variable that is missing or can't be read."""


@dataclass(frozen=True)
class Settings:
    """The pipeline's settings. Addresses may contain secrets, so they are left out of its repr.

    source: the history's address (see `source.parts`). database_url: of the pipeline's own role. anonymous: read S3
    unsigned. today: the pinned reference day or None. keep_runs: how many published runs keep their cleaned rows.
    memory: limit of a process, in MiB. dask: a scheduler's address, '' for none. rows: where cleaned rows go as
    Parquet, s3://bucket/prefix/, '' for Postgres. receiver: of notices, None for nobody. page_url: of the page,
    without a slash at its end, '' for no links.
    """

    source: str = field(repr=False)
    database_url: Address | str = field(repr=False)
    anonymous: bool = False
    today: date | None = None
    keep_runs: int = 5
    memory: int = DEFAULT_MEMORY
    dask: str = field(default="", repr=False)
    rows: str = field(default="", repr=False)
    receiver: Receiver | None = None
    page_url: str = ""

    @classmethod
    def read(cls, source: str | None = None, environ: Mapping[str, str] = environment.OF_PROCESS) -> "Settings":
        """Return the settings of this environment; `source` overrides VOUCHER_SOURCE.

        Raises SettingsError with the variable and the remedy.
        """
        source = (source or "").strip() or environment.text(environ, "VOUCHER_SOURCE")
        if not source:
            raise SettingsError("VOUCHER_SOURCE is not set; after `make up`, `. .local/env` sets it")
        with _our_errors():
            return cls(
                source=source,
                database_url=database_url(environ),
                anonymous=s3_anonymous(environ),
                today=_day(environment.text(environ, "TODAY")),
                keep_runs=environment.whole(environ, "VOUCHER_KEEP_RUNS", 5, least=1),
                memory=memory(environ),
                dask=_dask(environment.text(environ, "VOUCHER_DASK")),
                rows=_rows(environment.text(environ, "VOUCHER_ROWS")),
                receiver=Receiver.read(environ),
                page_url=page_url(environ),
            )


def database_url(environ: Mapping[str, str]) -> Address:
    """Return the address of the database for the pipeline's role or, with a warning, for the owner. Raises
    SettingsError.
    """
    reject_default_secrets(environ)
    if own := address(environ, "PIPELINE_DATABASE_URL"):
        return own
    if is_production(environ):
        raise SettingsError(
            "PIPELINE_DATABASE_URL is not set, but VOUCHER_ENV=production requires it; set it to the pipeline's role"
        )
    owner = owner_url(environ)
    log.warning("PIPELINE_DATABASE_URL is not set: the pipeline uses DATABASE_URL, as the owner of the tables")
    return owner


def owner_url(environ: Mapping[str, str]) -> Address:
    """Return the address of the database for the owner of the tables. Raises SettingsError."""
    if owner := address(environ, "DATABASE_URL"):
        return owner
    raise SettingsError("DATABASE_URL is not set; after `make up`, `. .local/env` sets it")


def address(environ: Mapping[str, str], name: str) -> Address | None:
    """Return the database address in a variable, None if it is unset. Raises SettingsError."""
    with _our_errors():
        return Address.read(environ[name], name) if environment.text(environ, name) else None


def reject_default_secrets(environ: Mapping[str, str]) -> None:
    """Raise SettingsError if production would run with a default secret of this repository; elsewhere, warn."""
    found = sorted(name for name, value in environ.items() if name.startswith(OF_SECRETS) and DEFAULT_SECRET in value)
    if not found:
        return
    public = (
        f"{', '.join(found)} {'contains' if len(found) == 1 else 'contain'} a default password from this repository"
    )
    if is_production(environ):
        raise SettingsError(f"{public}, which VOUCHER_ENV=production does not allow. Set your own.")
    log.warning("%s; set your own before others can reach this installation", public)


def warn(environ: Mapping[str, str] = environment.OF_PROCESS) -> None:
    """Warn of variables that look like settings but aren't. Called once per command or DAG run."""
    for warning in environment.warnings(environ):
        log.warning("%s", warning)


def receiver(environ: Mapping[str, str]) -> Receiver | None:
    """Return who gets the notices, None for nobody. Raises SettingsError."""
    with _our_errors():
        return Receiver.read(environ)


def page_url(environ: Mapping[str, str]) -> str:
    """Return the URL of the page without a slash at its end, '' if it is unset. Raises SettingsError."""
    text = environment.text(environ, "VOUCHER_PAGE_URL").rstrip("/")
    if text and not PAGE.fullmatch(text):
        raise SettingsError(f"VOUCHER_PAGE_URL{_is(text, PLAIN_PAGE)} not a URL like https://vouchers.example")
    return text


def memory(environ: Mapping[str, str] = environment.OF_PROCESS) -> int:
    """Return the memory limit of a process, in MiB. Raises SettingsError."""
    with _our_errors():
        return environment.whole(environ, "VOUCHER_MEMORY_MIB", DEFAULT_MEMORY, least=LEAST_MEMORY)


def s3_anonymous(environ: Mapping[str, str] = environment.OF_PROCESS) -> bool:
    """Return whether S3 is read without credentials. Raises SettingsError."""
    with _our_errors():
        return environment.yes_no(environ, "VOUCHER_S3_ANONYMOUS")


def retry_seconds(environ: Mapping[str, str] = environment.OF_PROCESS) -> int:
    """Return how long Airflow waits before it retries a failed task. Raises SettingsError."""
    with _our_errors():
        return environment.whole(environ, "VOUCHER_RETRY_SECONDS", 30, least=0, most=DAY)


def approval_hours(environ: Mapping[str, str] = environment.OF_PROCESS) -> float | None:
    """Return how long a run waits for approval in Airflow; None if it needs none. Raises SettingsError."""
    with _our_errors():
        hours = environment.hours(environ, "VOUCHER_APPROVAL_HOURS", 20)
        return min(hours, YEAR) if environment.yes_no(environ, "VOUCHER_APPROVAL") else None


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except environment.SettingsError as error:
        raise SettingsError(str(error)) from None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SettingsError(
            f"TODAY is {text!r}, not a day like 2020-05-31; unset it to use each row's own day"
        ) from None


def _dask(text: str) -> str:
    if text and not (text.startswith(("tcp://", "tls://")) and redact(text) == text.rstrip("/")):
        raise SettingsError(
            f"VOUCHER_DASK{_is(text, PLAIN_HOST)} not the address of a scheduler like tcp://scheduler:8786"
        )
    return text


def _rows(text: str) -> str:
    if text and not (re.fullmatch(r"s3://[^/]+/.+", text) and redact(text) == text):
        raise SettingsError(
            f"VOUCHER_ROWS{_is(text, PLAIN_PLACE)} not s3://bucket/prefix/; unset it to keep rows in Postgres"
        )
    return f"{text.rstrip('/')}/" if text else ""


def _is(text: str, plain: re.Pattern[str]) -> str:
    """Return the value of an address, but only if no part of it can be a secret: a mistyped one may show anything."""
    return f" is {text!r}," if plain.fullmatch(text) else " has a value that is"
