"""Check whether a URL responds: `python healthy.py URL`.

With a component's name, check whether Airflow reports it healthy. docker-compose.yml's health checks run this script,
because the images have no curl and an `airflow` command takes seconds.
"""

import json
import sys
from urllib.request import urlopen


def main(url: str, part: str = "") -> int:
    """Return the exit code. If the URL does not respond, the exception makes it 1."""
    with urlopen(url, timeout=5) as answer:  # noqa: S310  (docker-compose.yml's own addresses)
        return int(bool(part) and json.load(answer)[part]["status"] != "healthy")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
