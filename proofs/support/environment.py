"""A clean environment, and the two roles of a database: what tests and proofs start from."""

import os
import re
import secrets
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = {"VOUCHER_REAL_DATA"}
PIPELINE, API = "voucher_pipeline", "voucher_api"
ROLES_PASSWORD = secrets.token_hex(8)
LIVE = (
    *("VOUCHER_", "PROMETHEUS_", "AIRFLOW", "AWS_", "TODAY"),
    *("DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL"),
)


def scrub() -> None:
    """Remove the settings of a running stack from this process's environment."""
    for name in [name for name in os.environ if name.startswith(LIVE) and name not in KEPT]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def as_role(database: str, role: str, password: str = ROLES_PASSWORD) -> str:
    """Return the database's URL for another role than its owner."""
    return re.sub("//.*@", f"//{role}:{password}@", database)


def migrate(database: str) -> None:
    """Create the tables, and the roles of the pipeline and the API."""
    from pipeline import migrations  # noqa: PLC0415  (imported after `scrub`)

    migrations.migrate(database, pipeline_url=as_role(database, PIPELINE), api_url=as_role(database, API))
