"""Read environment variables in the same way in the pipeline, the service and `dev`.

`VARIABLES` lists all variables of the product. `warnings` reports those that look like one but are not.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

DEFAULT_SECRET = "first-look"  # noqa: S105  (part of every default password and secret in docker-compose.yml)
YES, NO = {"1", "true", "yes", "y", "on"}, {"0", "false", "no", "n", "off"}
MAX_ECHO = 40  # characters of a value that a message repeats
# Kubernetes sets variables for each service of a namespace: VOUCHER_API_PORT_8000_TCP for voucher-api.
OF_KUBERNETES = re.compile(r".+_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")


class SettingsError(ValueError):
    """A variable is missing or invalid. The message names it and says what to do, but shows no secret."""


@dataclass(frozen=True)
class Variable:
    """An environment variable and its readers.

    Readers are pipeline, api, notebook, compose, tests, and client, which is the curl command on the page. `meaning`
    and `default` are Markdown for the table in docs/settings.md, which lists the variables of pipeline and API.
    """

    name: str
    readers: tuple[str, ...]
    meaning: str = ""
    default: str = ""


# fmt: off
VARIABLES = (
    Variable("VOUCHER_SOURCE", ("pipeline", "notebook"),
        "location of the history: S3, `https://…`, a file or a folder", "`make up` uses the last one, or the sample"),
    Variable("VOUCHER_ROWS", ("pipeline",),
        "`s3://bucket/prefix/`, where cleaned rows are written as Parquet", "to Postgres"),
    Variable("VOUCHER_MEMORY_MIB", ("pipeline",),
        "memory limit of one pipeline process, in MiB; larger work spills to `TMPDIR`", "1536"),
    Variable("VOUCHER_DASK", ("pipeline",),
        "`tcp://host:8786` or `tls://…`: scheduler of a Dask cluster that loads the parts", "this machine loads them"),
    Variable("VOUCHER_S3_ANONYMOUS", ("pipeline", "notebook"), "`1`: read S3 without credentials", "0"),
    Variable("DATABASE_URL", ("pipeline", "api"),
        "`postgresql://role:password@host:port/database` of the tables' owner; only for `migrate`",
        "`make up` starts a Postgres"),
    Variable("PIPELINE_DATABASE_URL", ("pipeline",),
        "the same database, with the pipeline's role", "`DATABASE_URL`, with a warning"),
    Variable("API_DATABASE_URL", ("pipeline", "api"),
        "the same database, with the API's role", "`DATABASE_URL`, with a warning"),
    Variable("TODAY", ("pipeline",),
        "`YYYY-MM-DD`: the day that recency counts to, for history and requests",
        "each row's own day; for requests, today"),
    Variable("VOUCHER_KEEP_RUNS", ("pipeline",), "number of published runs whose cleaned rows are kept", "5"),
    Variable("VOUCHER_RETRY_SECONDS", ("pipeline",), "seconds before the DAG retries a failed task, up to twice", "30"),
    Variable("VOUCHER_NOTIFY_URL", ("pipeline",),
        "URL that gets a [notice](notices.md) of each publication, rollback and refusal; treat it as a secret",
        "no notices"),
    Variable("VOUCHER_NOTIFY_FORM", ("pipeline",),
        "form of a notice: `webhook`, `slack` or `teams`", "by the host of the URL, else `webhook`"),
    Variable("VOUCHER_NOTIFY_SECRET", ("pipeline",),
        "`whsec_…`: notices are signed with it, as Standard Webhooks says", "no signature"),
    Variable("VOUCHER_PAGE_URL", ("pipeline",),
        "URL of the page, for links in logs and notices", "no links; `make up` sets its own"),
    Variable("VOUCHER_APPROVAL", ("pipeline",),
        "`1`: in Airflow, a person must [approve](runs.md#approval) a run before it is published", "0"),
    Variable("VOUCHER_APPROVAL_HOURS", ("pipeline",),
        "hours after which a run that nobody approved fails", "20"),
    Variable("VOUCHER_MAX_AGE_HOURS", ("api",),
        "hours since the last check of the source after which answers are stale", "36"),
    Variable("VOUCHER_API_KEYS", ("api",),
        "keys of at least 16 characters, separated by commas; requests need one", "no key is needed"),
    Variable("VOUCHER_CORS_ORIGINS", ("api",), "origins whose pages may call the API, separated by commas", "none"),
    Variable("VOUCHER_HOSTS", ("api",),
        "public host names of the API, separated by commas; only needed without keys", "none"),
    Variable("VOUCHER_TRUSTED_PROXIES", ("api",),
        "number of proxies in front whose `X-Forwarded-Proto`, `-Host` and `-Prefix` are trusted", "0"),
    Variable("VOUCHER_AIRFLOW_URL", ("api",),
        "URL of Airflow, for the links on the page", "no links; `make up` sets its own"),
    Variable("VOUCHER_CURRENCY", ("api",),
        "ISO 4217 code of all amounts, such as EUR, shown with them", "each country's own, where it is known"),
    Variable("VOUCHER_WORKERS", ("api",), "number of processes that answer requests", "2"),
    Variable("VOUCHER_ENV", ("pipeline", "api", "notebook"),
        "`production`: require every database address, refuse default passwords", "warnings instead"),
    Variable("VOUCHER_OWNER_PASSWORD", ("compose",)),
    Variable("VOUCHER_PIPELINE_PASSWORD", ("compose",)),
    Variable("VOUCHER_API_PASSWORD", ("compose",)),
    Variable("VOUCHER_REAL_DATA", ("tests",)),
    Variable("VOUCHER_API_KEY", ("client",)),  # in the command that the page shows
)
# fmt: on
NAMES = frozenset(variable.name for variable in VARIABLES)
PREFIX = "VOUCHER_"
BY_END = {each.name.removeprefix(PREFIX): each.name for each in VARIABLES if not {"tests", "client"} & {*each.readers}}


class _OfProcess(Mapping[str, str]):
    """The environment of this process. As a default value, it does not show its secrets in the help of a function."""

    def __getitem__(self, name: str) -> str:
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)

    def __repr__(self) -> str:
        return "os.environ"


OF_PROCESS: Mapping[str, str] = _OfProcess()


def text(environ: Mapping[str, str], name: str) -> str:
    """Return the value without surrounding white space and without the quotes of an env file; "" if it is unset."""
    value = environ.get(name, "").strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    return value


def yes_no(environ: Mapping[str, str], name: str) -> bool:
    """Return whether the value means yes; False if it is unset. Raises SettingsError."""
    value = text(environ, name)
    if value and value.lower() not in YES | NO:
        raise SettingsError(f"{name} is {_echo(value)}, but must be 1 or 0 (or true, false, yes, no, on, off).")
    return value.lower() in YES


def whole(environ: Mapping[str, str], name: str, default: int, least: int, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`, both inclusive. Raises SettingsError."""
    value = text(environ, name)
    if not value:
        return default
    number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else -1
    if number < least or (most is not None and number > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise SettingsError(f"{name} is {_echo(value)}, but must be a whole number {bounds}; unset, it is {default}.")
    return number


def hours(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return a number of hours above 0. Raises SettingsError."""
    value = text(environ, name)
    if not value:
        return default
    try:
        number = float(value) if value.isascii() and "_" not in value else math.nan
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise SettingsError(f"{name} is {_echo(value)}, but must be a number of hours above 0; unset, it is {default}.")
    return number


def is_production(environ: Mapping[str, str]) -> bool:
    """Return whether VOUCHER_ENV is `production`, in which default secrets and fallbacks are not allowed."""
    return text(environ, "VOUCHER_ENV").lower() == "production"


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like a setting but has no effect."""
    found = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NAMES or OF_KUBERNETES.fullmatch(name):
            continue
        (nearest,) = get_close_matches(name.removeprefix(PREFIX), BY_END, n=1, cutoff=0)
        found.append(f"{name} is set, but is not a setting; did you mean {BY_END[nearest]}?")
    if (mode := text(environ, "VOUCHER_ENV")) and not is_production(environ):
        found.append(f"VOUCHER_ENV is {_echo(mode)}, which has no effect; only 'production' has one")
    return found


def _echo(value: str) -> str:
    return repr(value if len(value) <= MAX_ECHO else f"{value[:MAX_ECHO]}…")
