"""Whether an address answers: `python healthy.py URL`. With a part's name, whether Airflow says that it is healthy.

Called by docker-compose.yml's health checks: the images have no curl, and an `airflow` command takes seconds.
"""

import json
import sys
from urllib.request import urlopen


def main(url: str, part: str = "") -> int:
    """The exit code; an address that doesn't answer raises, which is one too."""
    with urlopen(url, timeout=5) as answer:  # noqa: S310  (docker-compose.yml's own addresses)
        return int(bool(part) and json.load(answer)[part]["status"] != "healthy")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
