"""Find roles of docker-compose.yml's Postgres that accept a password of this repository. Called by `migrate`.

A password is stored when the volume is created: changing it in .env alone has no effect.
"""

import psycopg2

from pipeline import PipelineError
from shared import postgres
from shared.environment import DEFAULT_SECRET
from shared.postgres import Address

HOST = "postgres"  # the service in docker-compose.yml; no other server is tried
# Role and what follows DEFAULT_SECRET in its password.
DEFAULTS = {
    "postgres": "postgres",
    "voucher": "owner",
    "airflow": "airflow",
    "voucher_pipeline": "pipeline",
    "voucher_api": "api",
}


class DefaultLoginError(PipelineError):
    """A role accepts a password that anyone can read."""


def reject(owner: Address) -> None:
    """Raise DefaultLoginError with the roles and what to do. A role that doesn't exist accepts no password."""
    if owner.parameters.get("host") != HOST:
        return
    found = [role for role in DEFAULTS if _logs_in(owner, role)]
    if found:
        raise DefaultLoginError(
            f"Postgres still accepts default passwords of this repository for {', '.join(found)}, which "
            "VOUCHER_ENV=production does not allow. Set their passwords in .env, then run `docker compose exec -T "
            "postgres sh /docker-entrypoint-initdb.d/initdb.sh` (docs/operations.md, From a first look to production)"
        )


def _logs_in(owner: Address, role: str) -> bool:
    login = Address("", {"user": role, "password": f"{DEFAULT_SECRET}-{DEFAULTS[role]}"})
    try:
        postgres.connect(owner.for_role(login)).close()
    except psycopg2.OperationalError:
        return False
    return True
