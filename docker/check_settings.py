"""Refuse settings that production must not start with. Run by docker-compose.yml before any other container.

All of them are named at once, as they are written in .env, so that nobody has to start the containers to find the next.
No value is shown.
"""

import os
import sys
from collections.abc import Mapping

from shared.environment import FIRST_LOOK, YES, is_production, text

# The passwords in docker-compose.yml, each with the address that is used instead of it when it is set.
PASSWORDS = {
    "POSTGRES_PASSWORD": "",
    "VOUCHER_OWNER_PASSWORD": "DATABASE_URL",
    "VOUCHER_PIPELINE_PASSWORD": "PIPELINE_DATABASE_URL",
    "VOUCHER_API_PASSWORD": "API_DATABASE_URL",
    "AIRFLOW_DATABASE_PASSWORD": "AIRFLOW_DATABASE_URL",
}
OF_THE_CONTAINER = ("POSTGRES_PASSWORD", "VOUCHER_OWNER_PASSWORD", "AIRFLOW_DATABASE_PASSWORD")  # docker/initdb.sh
SAMPLE = (
    "The S3 stand-in would serve the synthetic sample as the history. Set WITH_S3=0 and VOUCHER_SOURCE to use your own, "
    "or WITH_S3=1 to publish the sample."
)


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Return 1 after one line for each refusal; otherwise 0."""
    found = refusals(environ) if is_production(environ) else []
    for refusal in found:
        print(f"error: {refusal}", file=sys.stderr)  # noqa: T201
    return int(bool(found))


def refusals(environ: Mapping[str, str]) -> list[str]:
    """Return what production must not start with, and what to do about each."""
    names = public(environ)
    secrets = (
        f"VOUCHER_ENV=production does not allow passwords and secrets of this repository. Set your own in .env for: "
        f"{', '.join(names)}. docs/operations.md, Settings, has a command that generates them."
    )
    return [*([secrets] if names else []), *([] if text(environ, "WITH_S3") else [SAMPLE])]


def public(environ: Mapping[str, str]) -> list[str]:
    """Return the variables whose value, or default, anyone can read in this repository."""
    needed = {
        address if text(environ, address) else password
        for password, address in PASSWORDS.items()
        if text(environ, address) or password not in OF_THE_CONTAINER
    }
    if text(environ, "WITH_POSTGRES") != "0":
        needed |= {*OF_THE_CONTAINER}
    if text(environ, "WITH_S3") == "0" and _reads_s3_by_key(environ):
        needed |= {"AWS_SECRET_ACCESS_KEY"}
    found = {name for name in needed | {"AIRFLOW_SECRET"} if FIRST_LOOK in environ.get(name, "")}
    if text(environ, "AIRFLOW_PASSWORD") == text(environ, "AIRFLOW_USER"):
        found.add("AIRFLOW_PASSWORD")
    return sorted(found)


def _reads_s3_by_key(environ: Mapping[str, str]) -> bool:
    anonymous = text(environ, "VOUCHER_S3_ANONYMOUS").lower() in YES
    places = (text(environ, "VOUCHER_SOURCE"), text(environ, "VOUCHER_ROWS"))
    return not anonymous and any(place.lower().startswith("s3") for place in places)


if __name__ == "__main__":
    sys.exit(main())
