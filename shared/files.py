"""Write files that must never be seen half-written. Called by `pipeline` for rules and by `dev` for its state."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace(path: Path, text: str, mode: int | None = None) -> None:
    """Replace the file as a whole or not at all, whatever ends this process; what was there before stays until then.

    The new file keeps the old one's mode, unless `mode` is given. A symbolic link keeps pointing to the same file.
    """
    path = path.resolve()
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
