"""Keep the logs of `make up` small: `python -m dev.stack.log_rotation FOLDER`, a process of the stack.

The processes that write the logs keep them open. So NAME.log is copied to NAME.log.1, replacing an earlier copy, and
truncated. A line that is written between the two is lost. No other process depends on this one.
"""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

LIMIT = 10 << 20  # bytes of a log, and of its copy
EVERY = 5  # seconds


def main() -> None:
    folder = Path(sys.argv[1])
    while folder.exists():
        for log in folder.glob("*.log"):
            with suppress(OSError):
                rotate(log)
        time.sleep(EVERY)


def rotate(log: Path, limit: int = LIMIT) -> None:
    """Move the content of a log longer than `limit` to LOG.1, or drop it if the disk has no space."""
    if log.stat().st_size > limit:
        with suppress(OSError):
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


if __name__ == "__main__":
    main()
