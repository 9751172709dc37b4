"""Find parts on disk: the files in a folder or matching a pattern. Called by `parts`.

A folder that can't be read stops the run. Links to files and folders are followed; a folder that contains itself
through a link is entered once. A file that several links lead to is one part, recorded by its real path.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from pipeline.source import listing, tableformats
from pipeline.source.listing import FORMS, MAGIC, Choice, Entry, hidden, is_part, matters, may_hold
from pipeline.source.s3 import SourceError
from shared.addresses import redact

FILE_URL = re.compile(r"file:(//(localhost)?)?/", re.IGNORECASE)
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def find(uri: str) -> Choice:
    """Return the file that `uri` names, or the parts in its folder or matching its pattern. Raises SourceError."""
    path = _path(uri)
    if MAGIC.search(path) and not os.path.lexists(path):
        base, pattern = listing.split(path)
        _status(base, uri)
    elif stat.S_ISDIR((status := _status(path, uri)).st_mode):
        base, pattern = path, ""
    else:
        return Choice((Entry(_real(path), size=_size(path, status)),))
    chosen = listing.choose(_entries(base, pattern), pattern)
    parts = {(real := _real(_join(base, part.name))): replace(part, name=real) for part in chosen.parts}
    places = {_join(base, part.name.rpartition("/")[0]) for part in chosen.parts}
    holding = filter(None, tableformats.folders_of(f"{Path(place).resolve()}/" for place in places))
    return replace(chosen, parts=tuple(parts.values()), table=tableformats.table(uri, pattern, holding, _names))


def _path(uri: str) -> str:
    if FILE_URL.match(uri):
        uri = unquote(FILE_URL.sub("/", uri))
    elif uri.lower().startswith("file:"):
        raise SourceError(f"{redact(uri)}: a file on another host can't be read; write file:///path, or only the path")
    return os.path.expanduser(uri)  # noqa: PTH111  (Path's ends in a traceback where there is no such user)


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118  (a Path for each of many thousand files takes half of the time)


def _real(path: str) -> str:
    real = os.path.realpath(path)
    try:
        real.encode()
    except UnicodeEncodeError:
        folder, _, name = real.rpartition("/")
        name = ascii(os.fsencode(name))[1:]
        raise SourceError(f"{redact(folder)}/{name}: the name is not UTF-8; rename the file") from None
    return real


def _entries(base: str, pattern: str) -> Iterator[Entry]:
    """Yield what is in the folder `base` and below it, as far as the pattern asks for it, without opening hidden
    folders.
    """
    yield from _walk(base, "", pattern, frozenset())


def _size(path: str, status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        what = KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        raise SourceError(f"{redact(path)} is {what}; a part must be a file: remove it, or name the parts by a pattern")
    return status.st_size


def _names(folder: str, beginning: str) -> list[str]:
    """Return the names in a folder that begin with `beginning`; the folder's own name if it can't be read."""
    below, slash, start = beginning.rpartition("/")
    try:
        found = [child.name for child in Path(folder, below).iterdir()]
    except PermissionError:
        return [f"{below}{slash}"]
    except OSError:
        return []
    return [f"{below}{slash}{name}" for name in found if name.startswith(start)]


def _walk(base: str, folder: str, pattern: str, above: frozenset[tuple[int, int]]) -> Iterator[Entry]:
    path = _join(base, folder) or "."
    itself = _status(path)
    if (itself.st_dev, itself.st_ino) in above:
        return
    above |= {(itself.st_dev, itself.st_ino)}
    try:
        with os.scandir(path) as found:
            children = sorted(found, key=lambda child: child.name)
    except OSError as error:
        raise SourceError(
            f"{redact(path)} can't be read: {error.strerror}; allow this user to read it, or name the parts by a "
            "pattern"
        ) from None
    for child in children:
        name = f"{folder}{child.name}"
        if hidden(f"{name}/", pattern):
            yield Entry(f"{name}/" if _is_folder(child) else name)
        elif not matters(name, pattern):
            continue
        elif not stat.S_ISDIR((status := _status(child.path)).st_mode):
            yield Entry(name, size=_size(child.path, status) if is_part(name, pattern) else 0)
        elif may_hold(f"{name}/", pattern):
            yield from _walk(base, f"{name}/", pattern, above)
        else:
            yield Entry(f"{name}/")


def _status(path: str, uri: str = "") -> os.stat_result:
    """Return the file's status. Errors name `uri`, if it is given, because the path may be part of a secret."""
    try:
        return Path(path).stat()
    except (OSError, ValueError) as error:
        raise SourceError(f"{redact(uri or path)}{_fault(path, error)}") from None


def _fault(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError) and Path(path).is_symlink():
        return f" is a link to {redact(str(Path(path).readlink()))}, which does not exist; correct or remove it"
    if isinstance(error, FileNotFoundError):
        return f": no such file; set VOUCHER_SOURCE to {FORMS}"
    reason = getattr(error, "strerror", None) or "this can't be the name of a file"
    return f" can't be read: {reason}; correct or remove it"


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # of no interest: it is hidden
        return False
