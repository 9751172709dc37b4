"""Keep the logs of `make up` small: `python -m dev.rotation FOLDER`, a process of the stack, which `up` starts.

The processes that write the logs keep them open, so NAME.log is copied to NAME.log.1, which it replaces, and emptied. A
line that is written between the two is lost. Nothing waits for this process, and nothing else ends with it.
"""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

LIMIT = 10 << 20  # bytes of a log; with the part before, twice as many
EVERY = 5  # seconds


def main() -> None:
    folder = Path(sys.argv[1])
    while folder.exists():
        for log in folder.glob("*.log"):
            with suppress(OSError):
                rotate(log)
        time.sleep(EVERY)


def rotate(log: Path, limit: int = LIMIT) -> None:
    """Move the content of a log longer than `limit` to LOG.1; if the disk has no space for that, drop it."""
    if log.stat().st_size > limit:
        with suppress(OSError):
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


if __name__ == "__main__":
    main()
