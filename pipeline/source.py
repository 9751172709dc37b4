"""Where the history lies: an S3 object, an https address or a file, as a list of Parquet parts with a recorded
identity.

`run.py` lists the parts when it plans a run, and fetches them again, unchanged, when it loads them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from botocore import UNSIGNED
from botocore.client import Config

from pipeline import PipelineError, scratch

CHUNK = 1 << 20  # bytes
SAMPLE_MARK = (b"voucher-select", b"built-in sample")  # in the Parquet metadata of what dev/sample.py writes
TIMEOUT = (5, 60)  # seconds to connect, seconds between two chunks


class SourceError(PipelineError):
    """A part that isn't there, may not be read, or isn't Parquet."""


class SourceAway(SourceError):
    """The server that holds the source doesn't answer, or asks for patience."""

    passing = True


@dataclass(frozen=True)
class Part:
    """One Parquet file: where it lies, its ETag (of a file, or where the server gives none, made from its sha256
    once read), its size in bytes, the sha256 of its bytes ('' until they were read), and whether it is the
    built-in sample.
    """

    uri: str
    etag: str
    size: int
    sha256: str = ""
    synthetic: bool = False


def parts(uri: str, anonymous: bool = False) -> list[Part]:
    """The parts that `uri` names, their bytes not yet read. Raises SourceError, naming `uri` and the way out."""
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        bucket, key = _bucket_and_key(uri)
        with _s3_errors(uri):
            head = _s3(anonymous).head_object(Bucket=bucket, Key=key)
        return [Part(uri, head["ETag"], head["ContentLength"])]
    if scheme in {"http", "https"}:
        with _http_errors(uri), requests.head(uri, timeout=TIMEOUT, allow_redirects=True) as response:
            response.raise_for_status()
            return [Part(uri, response.headers.get("ETag", ""), int(response.headers.get("Content-Length", 0)))]
    if scheme and not Path(uri).exists():
        raise SourceError(f"{uri}: {scheme}:// is not known; VOUCHER_SOURCE is s3://bucket/key, https://… or a file")
    path = Path(uri).expanduser().resolve()
    if not path.is_file():
        raise SourceError(f"{uri}: no such file; set VOUCHER_SOURCE to s3://bucket/key, https://… or a file")
    return [Part(str(path), "", path.stat().st_size)]


def identified(part: Part, anonymous: bool = False) -> Part:
    """The part with the sha256 of its bytes, once its Parquet footer was read and it has a row."""
    with fetched(part, anonymous) as (path, digest):
        try:
            footer = pq.read_metadata(path)
        except (pa.ArrowInvalid, OSError) as error:
            start, known = path.open("rb").read(4), path.stat().st_size
            fault = "is a Parquet file cut short" if start == b"PAR1" else "is not a Parquet file"
            reason = str(error).splitlines()[0].rstrip(".")
            raise SourceError(f"{part.uri} {fault} ({known:,} bytes: {reason}); upload it again") from None
        if footer.num_rows == 0:
            raise SourceError(f"{part.uri} has no rows; point VOUCHER_SOURCE at a file with a history")
        return replace(
            part,
            etag=part.etag or f"sha256:{digest}",
            size=path.stat().st_size,
            sha256=digest,
            synthetic=SAMPLE_MARK in (footer.metadata or {}).items(),
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
    bucket, key = _bucket_and_key(part.uri)
    with _s3_errors(part.uri):
        body = _s3(anonymous).get_object(Bucket=bucket, Key=key, IfMatch=part.etag)["Body"]
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


def _bucket_and_key(uri: str) -> tuple[str, str]:
    split = urlsplit(uri)
    bucket, key = split.netloc, split.path.removeprefix("/")
    if not bucket or not key:
        raise SourceError(f"{uri} is not s3://bucket/key")
    return bucket, key


def _s3(anonymous: bool) -> Any:
    config = Config(
        connect_timeout=TIMEOUT[0],
        read_timeout=TIMEOUT[1],
        retries={"mode": "standard", "total_max_attempts": 3},
        signature_version=UNSIGNED if anonymous else None,
    )
    return boto3.session.Session().client("s3", config=config)


@contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except botocore.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        said = error.response["Error"].get("Code", "") or status
        ways_out = {
            404: "no such object; set VOUCHER_SOURCE to one that exists",
            403: "access denied; check the AWS credentials, or set VOUCHER_S3_ANONYMOUS=1 for a public bucket",
            412: "changed since the run was planned; run again",
        }
        kind = SourceAway if status >= 500 or status == 429 else SourceError
        raise kind(f"{uri}: {ways_out.get(status, f'S3 answered {said}')}") from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
        raise SourceError(
            f"{uri}: {error}; set AWS credentials, or VOUCHER_S3_ANONYMOUS=1 for a public bucket"
        ) from None
    except (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError) as error:
        raise SourceAway(f"{uri}: S3 does not answer ({error}); check AWS_ENDPOINT_URL_S3 and the network") from None
    except botocore.exceptions.BotoCoreError as error:
        raise SourceError(f"{uri}: {error}") from None


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
