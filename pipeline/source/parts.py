"""Find the parts of the history, Parquet files in S3, on the web or on disk, that an address names.

`run.py` finds them when it plans a run; `copies` reads them. `listing` decides which files are parts.
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.source import buckets, folders, https, listing, s3, tableformats
from pipeline.source.listing import FORMS
from pipeline.source.s3 import SourceError
from shared.addresses import redact

log = logging.getLogger("pipeline")

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One Parquet file of the history.

    uri, etag, size: its address, its ETag and its size in bytes. A file, or a server that gives no ETag, gets one made
    from the SHA-256. sha256, synthetic, rows: set once the part was read; synthetic means the built-in sample.

    `uri` is recorded, logged and shown; for a part on the web it can't be fetched, because secrets are left out.
    `address` can, and is never recorded or sent to another process (see `copies.located`).
    """

    uri: str
    etag: str
    size: int
    sha256: str = ""
    synthetic: bool = False
    rows: int = 0
    address: str = field(default="", repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"address": ""}


@dataclass(frozen=True)
class Listing:
    """The parts that an address names, in order, and two sentences: what is left out, and a warning; '' for none."""

    parts: tuple[Part, ...]
    left_out: str = ""
    warning: str = ""


def list_parts(uri: str, anonymous: bool = False) -> list[Part]:
    """Return the parts that `uri` names (see `find_parts`)."""
    return list(find_parts(uri, anonymous).parts)


def find_parts(uri: str, anonymous: bool = False) -> Listing:
    """Return the parts that `uri` names, without reading them.

    An object, a file or an https address is one part, whatever its name. A prefix or a folder (ending in "/") gives all
    Parquet files in it, and a pattern those that match (see `listing`).

    Raises SourceError with `uri` and the remedy, also for a table format with its own log (see `tableformats`).
    """
    scheme = SCHEME.match(uri)
    name = scheme[1].lower() if scheme else ""
    if name in {"http", "https"}:
        return Listing((Part(redact(uri), *https.head(uri), address=uri),))
    if name in {"s3", "s3a", "s3n"}:
        found = buckets.find(uri, anonymous)
    elif name and name != "file" and not os.path.lexists(uri):
        raise SourceError(f"{redact(uri)}: {name}:// is not known; VOUCHER_SOURCE is {FORMS}")
    else:
        found = folders.find(uri)
    if not found.parts:
        left_out = f" by name; {found.left_out}" if found.left_out else " (*.parquet)"
        raise SourceError(f"{redact(uri)}: there is no Parquet file{left_out}; set VOUCHER_SOURCE to {FORMS}")
    parts = sorted((Part(each.name, each.etag, each.size) for each in found.parts), key=lambda part: part.uri)
    return Listing(tuple(parts), found.left_out, tableformats.warning(uri, found.table))


def contains(uri: str, other: str) -> bool:
    """Return whether an object at `other` would be one of the parts that `uri` names, both in S3."""
    if not s3.SCHEME.match(uri):
        return False
    (bucket, key), (other_bucket, name) = s3.bucket_and_key(uri), s3.bucket_and_key(other)
    base, pattern = listing.split(key)
    inside = bucket == other_bucket and buckets.names_many(key) and name.startswith(base)
    return inside and listing.is_part(name.removeprefix(base), pattern)


def describe(parts: Sequence[Part], unread: int) -> str:
    """Return how many files these are, how many of them were read now, their size and their rows, as a phrase."""
    files = "1 file" if len(parts) == 1 else f"{len(parts):,} files"
    read = {0: "already read", len(parts): "read now"}.get(unread, f"{unread:,} read now")
    size = sum(part.size for part in parts)
    length = f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.1f} KiB"
    sample = " of the built-in synthetic sample" if all(part.synthetic for part in parts) else ""
    return f"{files} ({read}), {length}, {sum(part.rows for part in parts):,} rows{sample}"


def warn_of_duplicates(parts: Sequence[Part]) -> None:
    """Log a warning for parts with the same bytes: one may be a forgotten copy, and both count."""
    first: dict[str, str] = {}
    for part in sorted(parts, key=lambda part: part.uri):
        if (other := first.setdefault(part.sha256, part.uri)) != part.uri and part.rows:
            log.warning("plan: %s and %s have the same bytes; their rows count twice", other, part.uri)
