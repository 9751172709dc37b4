"""Before Airflow starts: its own database is made or upgraded, and who may log in. Run by docker-compose.yml.

In production it refuses the first look's secrets, so that nothing of Airflow starts with them.
"""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from pipeline.settings import SettingsError, refuse_first_look
from shared.environment import is_production

log = logging.getLogger("pipeline")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    user, password = os.environ["AIRFLOW_USER"], os.environ["AIRFLOW_PASSWORD"]
    try:
        refuse_first_look(os.environ)
        if password == user:
            guessable("production" if is_production(os.environ) else "")
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    passwords = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.touch(0o600)
    passwords.write_text(json.dumps({user: password}))
    return subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=False).returncode


def guessable(environment: str) -> None:
    """Raises SettingsError in production; elsewhere it warns."""
    text = "AIRFLOW_PASSWORD is the user's name, which is the first thing to be tried"
    if environment == "production":
        raise SettingsError(f"{text}, and VOUCHER_ENV=production refuses it; set your own")
    log.warning("%s: set your own before others can reach Airflow", text)


if __name__ == "__main__":
    sys.exit(main())
