"""Temporary folders, for a copy of a part or what DuckDB spills. Called by `copies`, `https`, `load` and `evaluate`."""

import errno
import fcntl
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

from pipeline import PipelineError

PREFIX = "voucher-step-"


FULL = {errno.ENOSPC, errno.EDQUOT}


class DiskFull(PipelineError):
    """The disk of the temporary folder is full or read-only."""


@contextmanager
def create() -> Iterator[Path]:
    """Create an empty folder and delete it when the context ends. Folders left behind by killed processes are deleted
    first.

    Raises DiskFull if there is no room.
    """
    try:
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _delete_unless_used(left)
        path, lock = _locked()
    except OSError as error:
        raise DiskFull(
            f"a temporary folder can't be created: {error.strerror}; set TMPDIR to a writable folder"
        ) from None
    with lock:  # the system lets go of it when this process ends, however it ends
        try:
            yield path
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DiskFull(f"the disk of {path.parent} is full; set TMPDIR to a folder on a larger disk") from None
        finally:
            shutil.rmtree(path)


def save(chunks: Iterable[bytes], path: Path) -> str:
    """Write these bytes to a file; return their SHA-256."""
    digest = sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _locked() -> tuple[Path, IO[str]]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = (path / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (path / "lock").exists():
            return path, lock
        lock.close()  # another took it for left behind before it was locked


def _delete_unless_used(left: Path) -> None:
    being_made_or_used_or_anothers = FileNotFoundError, BlockingIOError, PermissionError
    with suppress(*being_made_or_used_or_anothers), (left / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left)
