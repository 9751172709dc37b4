"""Decide which files are parts of the history, by one rule for S3 and for disks, prefixes, folders and patterns.

Called by `parts`, and by `folders` to know which folders to enter. All names are relative to the base, the folder that
the address spells out. The rule:

- In a folder or under a prefix, each file with a Parquet name is a part.
- Of the files that match a pattern, those are parts that have a Parquet name; or a name without a dot, as Athena and
  Hive write them; or an ending that the pattern spells out (`*.snappy`), unless it is that of a side-car (`*.bak`). A
  folder that matches stands for the files in it, by the rule for folders, if it has a Parquet name, as Spark and Dask
  write them, or if the pattern ends in "/".
- A name that begins with "." or "_" is hidden, and so is everything in such a folder, unless the address spells it out.
  A Hive partition (`_day=1`) is not hidden, `lost+found` is. S3's folder markers (`2020/`, `2020_$folder$`) are
  folders.

Other files are left out and named; a hidden folder counts once. A file that doesn't match a pattern isn't counted as
left out, because the pattern didn't ask for it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from fsspec.utils import glob_translate

from shared.addresses import redact

FORMS = "s3://bucket/key, s3://bucket/folder/, https://…, a file or a folder; * and ** stand for any names"
SLASH = re.compile("/")
MAGIC = re.compile(r"[*?[]")
CODECS = "gz|gzip|snappy|zst|zstd|br|brotli|lz4|lzo"
PARQUET = re.compile(rf"\.(parquet|parq|pq)(\.({CODECS}))?$", re.IGNORECASE)
SIDE_CAR = re.compile(
    r"(~|\.(bak|backup|old|orig|copy|tmp|temp|part|partial|crdownload|swp|lock|crc|md5|sha\d+|json|dvc|asc|sig|txt))$",
    re.IGNORECASE,
)
HIDDEN = re.compile(r"\.|_(?!.*=)|lost\+found$")
MARKER = "_$folder$"
NAMED = 3  # names of what is left out; the rest are counted


@dataclass(frozen=True)
class Entry:
    """A file or an object below the base, or a folder, whose name ends in "/"."""

    name: str
    etag: str = ""
    size: int = 0
    archived: bool = False


@dataclass(frozen=True)
class Choice:
    """The parts among the entries, a sentence on the others, and the table format of the parts (see `tableformats`); ''
    for none.

    Once found, the parts have complete addresses as their names.
    """

    parts: tuple[Entry, ...]
    left_out: str = ""
    table: str = ""


def split(path: str) -> tuple[str, str]:
    """Return the base of a path or key, and the pattern below it; '' as pattern for a whole folder."""
    spelled_out = MAGIC.split(path)[0]
    if spelled_out == path:
        return path, ""
    base = path[: spelled_out.rfind("/") + 1]
    segments = [part if part == "**" else re.sub(r"\*+", "*", part) for part in path[len(base) :].split("/")]
    return base, "/".join(segments)


def choose(entries: Iterable[Entry], pattern: str) -> Choice:
    """Return which entries are parts, and a sentence on those that aren't."""
    parts: list[Entry] = []
    left_out: dict[str, set[str]] = {"file": set(), "folder": set(), "hidden": set()}
    for entry in entries:
        kind, name = _kind(_as_folder(entry.name), pattern)
        if kind == "part":
            parts.append(entry)
        elif kind:
            left_out[kind].add(name)
    return Choice(tuple(sorted(parts, key=lambda entry: entry.name)), _sentence(left_out))


def is_part(name: str, pattern: str) -> bool:
    """Return whether the file is a part."""
    return _kind(name, pattern)[0] == "part"


def matters(name: str, pattern: str) -> bool:
    """Return whether the pattern asks for the file or folder of this name, or for anything below it."""
    return bool(pattern and _fit(name, pattern)) or may_hold(f"{name}/", pattern)


def hidden(name: str, pattern: str) -> str:
    """Return the name up to its first hidden component, with "/" after a folder; '' if nothing is hidden."""
    place = 0
    for component in name.split("/"):
        place += len(component) + 1
        if HIDDEN.match(component) and not _spelled_out(component, pattern):
            return name[:place]
    return ""


def may_hold(folder: str, pattern: str) -> bool:
    """Return whether the address asks for anything in the folder, whose name ends in "/", or below it."""
    if not pattern:
        return True
    if (fit := _fit(folder, pattern)) and _is_whole(fit.removesuffix("/"), pattern):
        return True
    given, asked = folder.removesuffix("/").split("/"), pattern.rstrip("/").split("/")
    fixed = asked[: asked.index("**")] if _any_depth(pattern) else asked
    deep_enough = _any_depth(pattern) or len(given) < len(asked)
    return deep_enough and all(fnmatchcase(name, wanted) for name, wanted in zip(given, fixed, strict=False))


def _kind(name: str, pattern: str) -> tuple[str, str]:
    """Return the kind of an entry (part, file, hidden, folder, '' if it doesn't matter) and the name to call it."""
    if found := hidden(name, pattern):
        return ("hidden" if _asks_for(found, pattern) else ""), found
    fit = _fit(name, pattern) if pattern else ""
    if pattern and not fit:
        return "", name
    if fit not in {"", name} and not _is_whole(fit, pattern):
        return ("" if _any_depth(pattern) else "folder"), f"{fit}/"
    if name.endswith("/"):
        return "", name
    return ("part" if PARQUET.search(name) or (fit == name and _named_by(pattern, name)) else "file"), name


def _asks_for(name: str, pattern: str) -> bool:
    """Return whether a hidden file or folder would be a part, or contain one, if it weren't hidden."""
    if name.endswith("/") or not pattern:
        return may_hold(name, pattern)
    fit = _fit(name, pattern)
    return bool(fit) and (fit == name or _is_whole(fit, pattern))


def _fit(name: str, pattern: str) -> str:
    """Return the name, or the folder above it, that matches the pattern; '' for none. A folder taken as a whole goes
    first.
    """
    if not pattern.endswith("/") and _regex(pattern).match(name):
        return name
    above = (name[: found.start()] for found in SLASH.finditer(name))
    fits = [folder for folder in above if _regex(pattern.rstrip("/")).match(folder)]
    return next((folder for folder in fits if _is_whole(folder, pattern)), fits[0] if fits else "")


def _is_whole(folder: str, pattern: str) -> bool:
    """Return whether a folder that matches the pattern stands for the files in it."""
    return pattern.endswith("/") or bool(PARQUET.search(folder))


def _any_depth(pattern: str) -> bool:
    return "**" in pattern.split("/")


def _named_by(pattern: str, name: str) -> bool:
    """Return whether the pattern means this file although it has no Parquet name."""
    last = name.rpartition("/")[2]
    ending = re.split(r"[*?\]]", pattern)[-1]
    suffix = last[last.rfind(".") :] if "." in last else ""
    return not SIDE_CAR.search(last) and ending.endswith(suffix)


def _spelled_out(component: str, pattern: str) -> bool:
    return any(fnmatchcase(component, part) for part in pattern.split("/") if part[:1] in {".", "_"})


def _as_folder(name: str) -> str:
    return name.removesuffix(MARKER) + "/" if name.endswith(MARKER) else name


@lru_cache(maxsize=64)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(glob_translate(pattern))


def _sentence(left_out: dict[str, set[str]]) -> str:
    words = {
        "file": ("file that is not Parquet by name", "files that are not Parquet by name"),
        "folder": ("folder that the pattern fits", "folders that the pattern fits"),
        "hidden": ("hidden name", "hidden names"),
    }
    found = ((len(names), words[kind][len(names) > 1], _few(names)) for kind, names in left_out.items() if names)
    counted = "; ".join(f"{count:,} {noun} ({few})" for count, noun, few in found)
    return f"left out: {counted}" if counted else ""


def _few(names: set[str]) -> str:
    first = [redact(name) for name in sorted(names)[:NAMED]]
    more = [f"and {len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return ", ".join([*first, *more])
