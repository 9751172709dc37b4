"""Copy a part of the history to this machine, and read its SHA-256, its columns and its row count.

`load` calls it for each part: when a run is planned, and again, unchanged, when it is loaded.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import SAMPLE_MARK
from pipeline.rules.columns import missing_columns
from pipeline.source import https, s3, tempfolder
from pipeline.source.parts import Part
from pipeline.source.s3 import SourceError, SourceInterrupted
from shared.addresses import redact

CHUNK = 1 << 20  # bytes
TRIES, PAUSE = 3, 0.2  # of a body that is cut off; seconds


def located(part: Part, source: str) -> Part:
    """Return the part with its address if `source`, the value of VOUCHER_SOURCE, is this part on the web."""
    return replace(part, address=source) if https.SCHEME.match(source) and redact(source) == part.uri else part


def inspect(part: Part, anonymous: bool = False) -> Part:
    """Return the part with its SHA-256 and row count. Raises SourceError if it isn't Parquet or lacks a column."""
    with _copied(part, anonymous) as copy:
        footer = _footer(part.uri, copy.path)
        if fault := missing_columns(footer.schema.to_arrow_schema().names, part.uri):
            raise SourceError(f"{redact(part.uri)}: {fault}")
        return replace(
            part,
            etag=copy.etag or f"sha256:{copy.sha256}",
            size=copy.path.stat().st_size,
            sha256=copy.sha256,
            synthetic=SAMPLE_MARK in (footer.metadata or {}).items(),
            rows=footer.num_rows,
        )


@contextmanager
def local_copy(part: Part, anonymous: bool = False) -> Iterator[Path]:
    """Copy the part to this machine while the context lasts; a local file is used in place.

    Raises SourceError if the part is gone or has changed since the run was planned.
    """
    with _copied(part, anonymous) as copy:
        yield copy.path


@dataclass(frozen=True)
class _Copy:
    path: Path
    sha256: str
    etag: str


@contextmanager
def _copied(part: Part, anonymous: bool) -> Iterator[_Copy]:
    with tempfolder.create() as folder:
        path, etag = folder / "part.parquet", part.etag
        if s3.SCHEME.match(part.uri):
            digest = _retry_interrupted(lambda: _fetch_from_s3(part, path, anonymous))
        elif https.SCHEME.match(part.uri):
            address = _address(part)
            digest, etag = _retry_interrupted(lambda: https.fetch(address, path))
        else:
            path.symlink_to(part.uri)
            digest = _digest_of_file(part.uri, path)
        if part.sha256 and digest != part.sha256:
            raise SourceError(f"{redact(part.uri)} changed since the run was planned; run again")
        yield _Copy(path, digest, etag)


def _retry_interrupted(fetch: Callable[[], Any]) -> Any:
    """Call `fetch` again if the body was cut off: boto3 and requests only retry the request."""
    for tried in range(1, TRIES):
        try:
            return fetch()
        except SourceInterrupted:
            time.sleep(PAUSE * tried)
    return fetch()


def _address(part: Part) -> str:
    """Return the address of a part on the web. A worker of a cluster takes it from its own environment."""
    address = part.address or located(part, os.environ.get("VOUCHER_SOURCE", "").strip()).address
    if not address:
        raise SourceError(
            f"{part.uri}: its complete address is unknown here: it may contain a secret, so it is not recorded; set "
            "VOUCHER_SOURCE to it, in each worker too"
        )
    return address


def _fetch_from_s3(part: Part, path: Path, anonymous: bool) -> str:
    bucket, key = s3.bucket_and_key(part.uri)
    with s3.errors(part.uri):
        body = s3.client(anonymous).get_object(Bucket=bucket, Key=key, IfMatch=part.etag)["Body"]
        return tempfolder.save(body.iter_chunks(CHUNK), path)


def _digest_of_file(uri: str, path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{redact(uri)} can't be read: {error.strerror}") from None
    return digest.hexdigest()


def _footer(uri: str, path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        with path.open("rb") as file:
            start, size = file.read(4), path.stat().st_size
        if start == b"PARE":
            raise SourceError(f"{redact(uri)} is encrypted; write it with a plain footer") from None
        fault = "is an incomplete Parquet file" if start == b"PAR1" else "is not a Parquet file"
        reason = str(error).splitlines()[0].rstrip(".")
        raise SourceError(f"{redact(uri)} {fault} ({size:,} bytes: {reason}); upload it again") from None
