"""Reject settings that can't be read or are not allowed in production. Run by docker-compose.yml before all others.

All of them are reported at once, with their names in .env. For most variables, docker-compose.yml only passes whether
they are set. So this container gets no secret that it does not need, and Compose does not recreate it, and all
containers that depend on it, when a secret changes. The containers that use a value check it.
With `pipeline`, the settings that only the pipeline needs are read as it reads them. The API checks its own.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pipeline import settings
from shared.environment import DEFAULT_SECRET, VARIABLES, YES, SettingsError, is_production, text

Reader = Callable[[Mapping[str, str]], object]
OF_PIPELINE: tuple[Reader, ...] = (
    lambda environ: settings.Settings.read(environ=environ),
    settings.retry_seconds,
    settings.approval_hours,
)
# Addresses that this container does not get, and the mode, in which the pipeline would check them.
PLACES = {"VOUCHER_SOURCE": "unknown", "PIPELINE_DATABASE_URL": "postgresql://localhost/voucher", "VOUCHER_ENV": ""}

INITIAL = ("POSTGRES_PASSWORD", "VOUCHER_OWNER_PASSWORD", "AIRFLOW_DATABASE_PASSWORD")  # read by docker/initdb.sh
ALWAYS = ("AIRFLOW_PASSWORD", "AIRFLOW_SECRET")
# Passwords, each with the address that replaces it.
IN_ADDRESSES = {
    "VOUCHER_OWNER_PASSWORD": "DATABASE_URL",
    "VOUCHER_PIPELINE_PASSWORD": "PIPELINE_DATABASE_URL",
    "VOUCHER_API_PASSWORD": "API_DATABASE_URL",
}
OF_THE_STAND_IN = ("AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY")


def main(environ: Mapping[str, str] = os.environ, only: Sequence[str] = ()) -> int:
    """Print a line for each problem. Return 1 if there are any, otherwise 0.

    With names of passwords, such as GRAFANA_PASSWORD of a profile, check these only; with `pipeline`, its settings.
    """
    if only == ["pipeline"]:
        found = faults(_of_pipeline(environ))
    elif is_production(environ):
        refused = [*_of_secrets(only, environ)] if only else refusals(environ)
        found = [f"VOUCHER_ENV=production: {refusal}" for refusal in refused]
    else:
        found = []
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)  # noqa: T201
    return int(bool(found))


def faults(environ: Mapping[str, str], readers: Iterable[Reader] = OF_PIPELINE) -> list[str]:
    """Return the error of each reader that can't read its settings. The readers are those of the running programs."""
    found = []
    for read in readers:
        try:
            read(environ)
        except (settings.SettingsError, SettingsError) as error:
            found.append(str(error))
    return found


def refusals(environ: Mapping[str, str]) -> list[str]:
    """Return what is not allowed in production, and what to do about each."""
    found = [*_of_secrets(_needed(environ), environ)]
    if not text(environ, "WITH_S3"):
        found.append(
            "the S3 stand-in would serve the synthetic sample as your history. Set WITH_S3=0 and VOUCHER_SOURCE in "
            ".env to use your own, or WITH_S3=1 to publish the sample."
        )
    elif text(environ, "WITH_S3") == "0" and (names := _of_the_stand_in(environ)):
        found.append(
            f"{' and '.join(names)} have the values of the S3 stand-in. Set them in .env, or leave them empty."
        )
    return found


def _of_pipeline(environ: Mapping[str, str]) -> dict[str, str]:
    names = (each.name for each in VARIABLES if "pipeline" in each.readers)
    return {name: environ[name] for name in names if name in environ} | PLACES


def _of_secrets(needed: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    if names := sorted(name for name in needed if not text(environ, name) or DEFAULT_SECRET in environ[name]):
        yield (
            f"these are unset or contain a default password from this repository: {', '.join(names)}. Set each in "
            ".env. docs/operations.md, Settings, has a command that generates them."
        )


def _needed(environ: Mapping[str, str]) -> set[str]:
    needed = {*ALWAYS, *(password for password, address in IN_ADDRESSES.items() if not text(environ, address))}
    if text(environ, "WITH_POSTGRES") != "0":
        needed |= {*INITIAL}
    return needed


def _of_the_stand_in(environ: Mapping[str, str]) -> list[str]:
    """Return variables that are not set. An empty one counts as set, because a role of the machine may replace keys."""
    signed = text(environ, "VOUCHER_S3_ANONYMOUS").lower() not in YES
    return [name for name in OF_THE_STAND_IN if not text(environ, name) and (signed or "KEY" not in name)]


if __name__ == "__main__":
    sys.exit(main(only=sys.argv[1:]))
