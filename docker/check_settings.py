"""Refuse settings that production must not start with. Run by docker-compose.yml before any other container.

All of them are named at once, as they are written in .env. Of most variables docker-compose.yml says only whether they
are set: this container learns no secret that it does not need, and Compose does not recreate it, and with it all that
depend on it, when a secret changes. Values are checked by the containers that use them.
"""

import os
import sys
from collections.abc import Mapping

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


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Return 1 after a line for each refusal; otherwise 0."""
    found = list(refusals(environ)) if is_production(environ) else []
    for refusal in found:
        print(f"error: VOUCHER_ENV=production: {refusal}", file=sys.stderr)  # noqa: T201
    return int(bool(found))


def refusals(environ: Mapping[str, str]) -> list[str]:
    """Return what must not be used in production, and what to do about each."""
    found = []
    if names := _public(environ):
        found.append(
            f"these are unset or contain a default password from this repository: {', '.join(names)}. Set each in "
            ".env. docs/operations.md, Settings, has a command that generates them."
        )
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


def _public(environ: Mapping[str, str]) -> list[str]:
    needed = {*ALWAYS, *(password for password, address in IN_ADDRESSES.items() if not text(environ, address))}
    if text(environ, "WITH_POSTGRES") != "0":
        needed |= {*INITIAL}
    return sorted(name for name in needed if not text(environ, name) or DEFAULT_SECRET in environ[name])


def _of_the_stand_in(environ: Mapping[str, str]) -> list[str]:
    """Return variables that are not set; an empty one is, as a role of the machine may take the place of keys."""
    signed = text(environ, "VOUCHER_S3_ANONYMOUS").lower() not in YES
    return [name for name in OF_THE_STAND_IN if not text(environ, name) and (signed or "KEY" not in name)]


if __name__ == "__main__":
    sys.exit(main())
