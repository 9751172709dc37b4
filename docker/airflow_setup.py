"""Create or upgrade Airflow's database and set its login, before Airflow starts. Run by docker-compose.yml.

In production it rejects default secrets, so that no part of Airflow starts with them. Messages use the names of
variables in .env, not Airflow's own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.environment import DEFAULT_SECRET, is_production

SET_AS = {
    "AIRFLOW__API__SECRET_KEY": "AIRFLOW_SECRET",
    "AIRFLOW__API_AUTH__JWT_SECRET": "AIRFLOW_SECRET",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "AIRFLOW_DATABASE_PASSWORD",
}


def main(environ: Mapping[str, str] = os.environ) -> int:
    if names := public(environ):
        said = f"{', '.join(names)}: anyone can read or guess the value in use"
        if is_production(environ):
            print(f"error: {said}, which VOUCHER_ENV=production does not allow; set your own", file=sys.stderr)  # noqa: T201
            return 1
        print(f"{said}; set your own before others can reach Airflow", flush=True)  # noqa: T201
    passwords = Path(environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.touch(0o600)
    passwords.write_text(json.dumps({environ["AIRFLOW_USER"]: environ["AIRFLOW_PASSWORD"]}))
    return subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=False).returncode


def public(environ: Mapping[str, str]) -> list[str]:
    """Return the variables whose value is in this repository or equals the user name."""
    found = {SET_AS[name] for name in SET_AS if DEFAULT_SECRET in environ.get(name, "")}
    if DEFAULT_SECRET in environ["AIRFLOW_PASSWORD"] or environ["AIRFLOW_PASSWORD"] == environ["AIRFLOW_USER"]:
        found.add("AIRFLOW_PASSWORD")
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main())
