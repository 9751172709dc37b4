"""Write files atomically. Used by `pipeline` for rules and by `dev` for its state."""

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace(path: Path, text: str, mode: int | None = None) -> None:
    """Replace a file atomically: if this process ends early, the old content stays.

    The new file keeps the old one's mode, unless `mode` is given. A symbolic link still points to the same file. A file
    that is a mount point, as in a container, cannot be replaced; it is overwritten by one system call.
    """
    path = path.resolve()
    try:
        _replace(path, text, mode)
    except OSError as error:
        # The folder is read-only, or the file is a mount point in one that is not.
        if error.errno not in (errno.EROFS, errno.EBUSY):
            raise
        _overwrite(path, text.encode())


def _replace(path: Path, text: str, mode: int | None) -> None:
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode & 0o7777 if mode is None else mode
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o644 if mode is None else mode)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _overwrite(path: Path, text: bytes) -> None:
    """Overwrite the file in one call, without old text after the new one.

    The text is padded with line ends to the old length. Then the file is truncated.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        found = os.fstat(descriptor)
        if not found.st_nlink:
            raise OSError(
                errno.ESTALE, "The file was replaced outside this container: restart the container to see it", str(path)
            )
        old = os.pread(descriptor, found.st_size, 0)
        try:
            padded = text.ljust(len(old), b"\n")
            if os.pwrite(descriptor, padded, 0) < len(padded):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            os.pwrite(descriptor, old, 0)
            os.ftruncate(descriptor, len(old))
            raise
        os.ftruncate(descriptor, len(text))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
