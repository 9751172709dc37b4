"""Reject settings that are not allowed in production. Run by docker-compose.yml before all other containers.

All of them are reported at once, with their names in .env. For most variables, docker-compose.yml only passes whether
they are set. So this container gets no secret that it does not need, and Compose does not recreate it, and all
containers that depend on it, when a secret changes. The containers that use a value check it.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from shared.environment import DEFAULT_SECRET, YES, is_production, text

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

    With names of passwords, such as GRAFANA_PASSWORD of a profile, check these only.
    """
    found = []
    if is_production(environ):
        found = [*_of_secrets(only, environ)] if only else refusals(environ)
    for refusal in found:
        print(f"error: VOUCHER_ENV=production: {refusal}", file=sys.stderr)  # noqa: T201
    return int(bool(found))


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
