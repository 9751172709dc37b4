"""Keep the logs of `make up` small: `python -m dev.rotation FOLDER`, a process of the stack, which `up` starts.

The processes that write the logs keep them open, so a log is cut where it is: the head of NAME.log moves to NAME.log.1,
which it replaces. Nothing waits for this process, and nothing else ends with it.
"""

import ctypes
import errno
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LIMIT = 10 << 20  # bytes of a log; with the part before, twice as many
EVERY = 5  # seconds
COLLAPSE_RANGE = 0x08  # of Linux' fallocate: take bytes out of a file, in whole blocks


def main() -> None:
    folder = Path(sys.argv[1])
    while folder.exists():
        for log in folder.glob("*.log"):
            with suppress(OSError):
                rotate(log)
        time.sleep(EVERY)


def rotate(log: Path, limit: int = LIMIT) -> bool:
    """Move the head of a log longer than `limit` to LOG.1; whether there was one. It is cut even if the disk is full.

    On ext4 and XFS no line is lost, whatever is written meanwhile. On other file systems a line may be that is written
    between the last read and the cut, microseconds later.
    """
    with log.open("r+b") as file:
        state = os.fstat(file.fileno())
        if state.st_size <= limit:
            return False
        head = (state.st_size - 1) // state.st_blksize * state.st_blksize
        with suppress(OSError), log.with_name(f"{log.name}.1").open("wb") as old:
            _copy(file, old, head)
            if _cut_head(file, head):
                return True
            shutil.copyfileobj(file, old)
            old.flush()
        file.truncate(0)
        return True


def _copy(file: BinaryIO, old: BinaryIO, size: int) -> None:
    while size and (chunk := file.read(min(size, 1 << 16))):
        old.write(chunk)
        size -= len(chunk)
    old.flush()


def _cut_head(file: BinaryIO, size: int) -> bool:
    """Take the first bytes out of the file at once; False where the system or the file system cannot."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if not (size and fallocate):
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while (failed := fallocate(file.fileno(), COLLAPSE_RANGE, 0, size)) and ctypes.get_errno() == errno.EINTR:
        pass
    return not failed


if __name__ == "__main__":
    main()
