"""Where the history lies: S3, an https address or files, as a list of Parquet parts with a recorded identity.

`run.py` lists the parts when it plans a run, and fetches them again, unchanged, when it loads them. Which files are
parts is decided in `listing`, for S3 and disks alike.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import SAMPLE_MARK, buckets, folders, listing, s3, scratch, tableformats, web
from pipeline.listing import FORMS
from pipeline.rules import lacking
from pipeline.s3 import SourceCut, SourceError
from shared.addresses import shown

CHUNK = 1 << 20  # bytes
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)
TRIES, PAUSE = 3, 0.2  # of a body that is cut off; seconds


@dataclass(frozen=True)
class Part:
    """One Parquet file: where it lies, its ETag (of a file, or where the server gives none, made from its sha256
    once read), its size in bytes; once it was read: the sha256 of its bytes, its rows, and whether it is the built-in
    sample.

    `uri` is what is recorded, logged and shown: of a part on the web it is no address that can be fetched. `address`
    is, and may hold secrets: it is on no record, and does not go to other processes (see `located`).
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
    """What an address names: its parts in order, the sentence on what is left out, and a warning, each '' for none."""

    parts: tuple[Part, ...]
    left_out: str = ""
    warning: str = ""


def parts(uri: str, anonymous: bool = False) -> list[Part]:
    """Return the parts that `uri` names (see `listed`)."""
    return list(listed(uri, anonymous).parts)


def listed(uri: str, anonymous: bool = False) -> Listing:
    """Return what `uri` names, its bytes not yet read: an object, a file or an https address, whatever its name is; or
    all Parquet files under a prefix or in a folder (which ends in /), or those that a pattern fits (see `listing`).

    Raises SourceError naming `uri` and the way out; also for a table with a log of its own, unless a pattern spells
    out names of its files.
    """
    scheme = SCHEME.match(uri)
    name = scheme[1].lower() if scheme else ""
    if name in {"http", "https"}:
        return Listing((Part(shown(uri), *web.look(uri), address=uri),))
    if name in {"s3", "s3a", "s3n"}:
        found = buckets.found(uri, anonymous)
    elif name and name != "file" and not os.path.lexists(uri):
        raise SourceError(f"{shown(uri)}: {name}:// is not known; VOUCHER_SOURCE is {FORMS}")
    else:
        found = folders.found(uri)
    if not found.parts:
        left_out = f" by name; {found.left_out}" if found.left_out else " (*.parquet)"
        raise SourceError(f"{shown(uri)}: there is no Parquet file{left_out}; set VOUCHER_SOURCE to {FORMS}")
    parts = sorted((Part(each.name, each.etag, each.size) for each in found.parts), key=lambda part: part.uri)
    return Listing(tuple(parts), found.left_out, tableformats.warning(uri, found.table))


def takes_in(uri: str, other: str) -> bool:
    """Return whether the parts that `uri` names would take in an object at `other`, both in S3."""
    if not s3.SCHEME.match(uri):
        return False
    (bucket, key), (other_bucket, name) = s3.bucket_and_key(uri), s3.bucket_and_key(other)
    base, pattern = listing.split(key)
    inside = bucket == other_bucket and buckets.names_many(key) and name.startswith(base)
    return inside and listing.is_part(name.removeprefix(base), pattern)


def located(part: Part, source: str) -> Part:
    """Return the part with its address, where `source`, as VOUCHER_SOURCE has it, names this part on the web."""
    return replace(part, address=source) if web.SCHEME.match(source) and shown(source) == part.uri else part


def identified(part: Part, anonymous: bool = False) -> Part:
    """Return the part with the sha256 of its bytes and its rows, once its Parquet footer was read and has the
    columns.
    """
    with _copied(part, anonymous) as copy:
        footer = _footer(part.uri, copy.path)
        if fault := lacking(footer.schema.to_arrow_schema().names, part.uri):
            raise SourceError(f"{shown(part.uri)}: {fault}")
        return replace(
            part,
            etag=copy.etag or f"sha256:{copy.sha256}",
            size=copy.path.stat().st_size,
            sha256=copy.sha256,
            synthetic=SAMPLE_MARK in (footer.metadata or {}).items(),
            rows=footer.num_rows,
        )


@contextmanager
def fetched(part: Part, anonymous: bool = False) -> Iterator[tuple[Path, str]]:
    """A local copy of the part and the sha256 of its bytes, while the context lasts; a file is used where it lies.

    Raises SourceError when the part is gone, or is no longer what was planned.
    """
    with _copied(part, anonymous) as copy:
        yield copy.path, copy.sha256


@dataclass(frozen=True)
class _Copy:
    path: Path
    sha256: str
    etag: str


@contextmanager
def _copied(part: Part, anonymous: bool) -> Iterator[_Copy]:
    with scratch.folder() as folder:
        path, etag = folder / "part.parquet", part.etag
        if s3.SCHEME.match(part.uri):
            digest = _patiently(lambda: _fetch_from_s3(part, path, anonymous))
        elif web.SCHEME.match(part.uri):
            address = _address(part)
            digest, etag = _patiently(lambda: web.fetch(address, path))
        else:
            path.symlink_to(part.uri)
            digest = _digest_of_file(part.uri, path)
        if part.sha256 and digest != part.sha256:
            raise SourceError(f"{shown(part.uri)} changed since the run was planned; run again")
        yield _Copy(path, digest, etag)


def _patiently(fetch: Callable[[], Any]) -> Any:
    """What `fetch` gives, tried again where the bytes were cut off: boto3 and requests repeat requests only."""
    for tried in range(1, TRIES):
        try:
            return fetch()
        except SourceCut:
            time.sleep(PAUSE * tried)
    return fetch()


def _address(part: Part) -> str:
    """Of a part on the web. A worker of a cluster knows it by its own environment, as it knows the database."""
    address = part.address or located(part, os.environ.get("VOUCHER_SOURCE", "").strip()).address
    if not address:
        raise SourceError(
            f"{part.uri}: its whole address is not known here, as it may hold a secret and is on no record; set "
            "VOUCHER_SOURCE to it, in each worker too"
        )
    return address


def _fetch_from_s3(part: Part, path: Path, anonymous: bool) -> str:
    bucket, key = s3.bucket_and_key(part.uri)
    with s3.errors(part.uri):
        body = s3.client(anonymous).get_object(Bucket=bucket, Key=key, IfMatch=part.etag)["Body"]
        return scratch.save(body.iter_chunks(CHUNK), path)


def _digest_of_file(uri: str, path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{shown(uri)} can't be read: {error.strerror}") from None
    return digest.hexdigest()


def _footer(uri: str, path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        with path.open("rb") as file:
            start, size = file.read(4), path.stat().st_size
        if start == b"PARE":
            raise SourceError(f"{shown(uri)} is encrypted; write it without encryption of its footer") from None
        fault = "is a Parquet file cut short" if start == b"PAR1" else "is not a Parquet file"
        reason = str(error).splitlines()[0].rstrip(".")
        raise SourceError(f"{shown(uri)} {fault} ({size:,} bytes: {reason}); upload it again") from None
