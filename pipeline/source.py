"""Where the history lies: S3, an https address or files, as a list of Parquet parts with a recorded identity.

`run.py` lists the parts when it plans a run, and fetches them again, unchanged, when it loads them.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from fsspec.utils import glob_translate

from pipeline import SAMPLE_MARK, s3, scratch
from pipeline.rules import lacking
from pipeline.s3 import TIMEOUT, SourceAway, SourceError

CHUNK = 1 << 20  # bytes
FORMS = "s3://bucket/key, s3://bucket/folder/, https://…, a file or a folder; * and ** stand for any names"
MAGIC = re.compile(r"[*?[]")
PARQUET = re.compile(r"\.(parquet|pq)\b[^/]*$", re.IGNORECASE)  # data.parquet.gzip too
HIDDEN = re.compile(r"/[._]")  # what Spark and others leave beside the parts: _SUCCESS, _temporary/, .crc


@dataclass(frozen=True)
class Part:
    """One Parquet file: where it lies, its ETag (of a file, or where the server gives none, made from its sha256
    once read), its size in bytes; once it was read: the sha256 of its bytes, its rows, and whether it is the built-in
    sample.
    """

    uri: str
    etag: str
    size: int
    sha256: str = ""
    synthetic: bool = False
    rows: int = 0


def parts(uri: str, anonymous: bool = False) -> list[Part]:
    """The parts that `uri` names, by their addresses, their bytes not yet read: an object, all Parquet files under a
    prefix or in a folder (which ends in /), or those that a pattern fits. Raises SourceError, naming `uri` and the way
    out.
    """
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        found = _s3_parts(uri, anonymous)
    elif scheme in {"http", "https"}:
        with _http_errors(uri), requests.head(uri, timeout=TIMEOUT, allow_redirects=True) as response:
            response.raise_for_status()
            found = [Part(uri, response.headers.get("ETag", ""), int(response.headers.get("Content-Length", 0)))]
    elif scheme and not Path(uri).exists():
        raise SourceError(f"{uri}: {scheme}:// is not known; VOUCHER_SOURCE is {FORMS}")
    else:
        found = [Part(str(path.resolve()), "", path.stat().st_size) for path in _files(Path(uri).expanduser())]
    if not found:
        raise SourceError(f"{uri}: there is no Parquet file (*.parquet*); set VOUCHER_SOURCE to {FORMS}")
    return sorted(found, key=lambda part: part.uri)


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        names = map(str, path.rglob("*"))
        return [Path(name) for name in names if PARQUET.search(name) and not _hidden(name, f"{path}/")]
    if path.is_file():
        return [path]
    if MAGIC.search(str(path)):
        found = map(Path, glob(str(path), recursive=True))  # noqa: PTH207  (a pattern that may begin at the root)
        prefix = MAGIC.split(str(path))[0]
        return (file for file in found if file.is_file() and not _hidden(str(file), prefix))
    raise SourceError(f"{path}: no such file; set VOUCHER_SOURCE to {FORMS}")


def takes_in(uri: str, other: str) -> bool:
    """Whether the parts that `uri` names would take in an object at `other`, both in S3."""
    if not uri.startswith("s3://"):
        return False
    (bucket, key), (other_bucket, name) = s3.bucket_and_key(uri), s3.bucket_and_key(other)
    return bucket == other_bucket and _names_many(key) and bool(_fitting([name], key))


def _names_many(key: str) -> bool:
    return key.endswith("/") or not key or bool(MAGIC.search(key))


def _fitting(names: Iterable[str], key: str) -> list[str]:
    """Of these, the names that a prefix or a pattern means."""
    prefix = MAGIC.split(key)[0]
    fits = PARQUET.search if prefix == key else re.compile(glob_translate(key)).match
    return [name for name in names if name.startswith(prefix) and fits(name) and not _hidden(name, prefix)]


def _hidden(name: str, prefix: str) -> bool:
    """Whether what `prefix` doesn't spell out is."""
    return bool(HIDDEN.search((prefix[-1:] or "/") + name.removeprefix(prefix)))


def _s3_parts(uri: str, anonymous: bool) -> list[Part]:
    bucket, key = s3.bucket_and_key(uri)
    client = s3.client(anonymous)
    with s3.errors(uri):
        if not _names_many(key):
            head = client.head_object(Bucket=bucket, Key=key)
            return [Part(uri, head["ETag"], head["ContentLength"])]
        pages = s3.pages(client, bucket, MAGIC.split(key)[0])
        objects = {each["Key"]: each for page in pages for each in page.get("Contents", [])}
    names = _fitting(objects, key)
    return [Part(f"s3://{bucket}/{name}", objects[name]["ETag"], objects[name]["Size"]) for name in names]


def identified(part: Part, anonymous: bool = False) -> Part:
    """The part with the sha256 of its bytes and its rows, once its Parquet footer was read and has the columns."""
    with fetched(part, anonymous) as (path, digest):
        try:
            footer = pq.read_metadata(path)
            columns = footer.schema.to_arrow_schema().names
        except (pa.ArrowInvalid, OSError) as error:
            start, known = path.open("rb").read(4), path.stat().st_size
            fault = "is a Parquet file cut short" if start == b"PAR1" else "is not a Parquet file"
            reason = str(error).splitlines()[0].rstrip(".")
            raise SourceError(f"{part.uri} {fault} ({known:,} bytes: {reason}); upload it again") from None
        if fault := lacking(columns):
            raise SourceError(f"{part.uri}: {fault}")
        return replace(
            part,
            etag=part.etag or f"sha256:{digest}",
            size=path.stat().st_size,
            sha256=digest,
            synthetic=SAMPLE_MARK in (footer.metadata or {}).items(),
            rows=footer.num_rows,
        )


@contextmanager
def fetched(part: Part, anonymous: bool = False) -> Iterator[tuple[Path, str]]:
    """A local copy of the part and the sha256 of its bytes, while the context lasts; a file is used where it lies.

    Raises SourceError when the part is gone, or is no longer what was planned.
    """
    with scratch.folder() as folder:
        path = folder / "part.parquet"
        if urlsplit(part.uri).scheme == "s3":
            digest = _fetch_s3(part, path, anonymous)
        elif urlsplit(part.uri).scheme in {"http", "https"}:
            digest = _fetch_http(part, path)
        else:
            path.symlink_to(part.uri)
            digest = _digest_of_file(part.uri, path)
        if part.sha256 and digest != part.sha256:
            raise SourceError(f"{part.uri} changed since the run was planned; run again")
        yield path, digest


def _fetch_s3(part: Part, path: Path, anonymous: bool) -> str:
    bucket, key = s3.bucket_and_key(part.uri)
    with s3.errors(part.uri):
        body = s3.client(anonymous).get_object(Bucket=bucket, Key=key, IfMatch=part.etag)["Body"]
        with path.open("wb") as file:
            return _copied(body.iter_chunks(CHUNK), file)


def _fetch_http(part: Part, path: Path) -> str:
    headers = {"If-Match": part.etag} if part.etag.startswith('"') else {}
    with _http_errors(part.uri), requests.get(part.uri, headers=headers, timeout=TIMEOUT, stream=True) as response:
        response.raise_for_status()
        with path.open("wb") as file:
            return _copied(response.iter_content(CHUNK), file)


def _copied(chunks: Iterator[bytes], file: IO[bytes]) -> str:
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _digest_of_file(uri: str, path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{uri} can't be read: {error.strerror}") from None
    return digest.hexdigest()


@contextmanager
def _http_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code
        kind = SourceAway if status >= 500 or status == 429 else SourceError
        raise kind(f"{uri}: the server answered {status} {error.response.reason}; check VOUCHER_SOURCE") from None
    except requests.RequestException as error:
        raise SourceAway(
            f"{uri} can't be fetched ({type(error).__name__}); check the address and the network"
        ) from None
