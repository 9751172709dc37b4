"""Access S3 as the environment configures it: one client for all threads, and its errors as ours.

Called by `buckets`, `copies` and `load.row_files`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import boto3
import botocore.exceptions as boto
from botocore import UNSIGNED
from botocore.client import Config
from botocore.parsers import ResponseParserError

from pipeline import PipelineError
from pipeline.source.s3_answers import answer
from shared.addresses import redact

CONNECTIONS = 32  # at once
TIMEOUT = (5, 60)  # seconds to connect, seconds between two chunks
SCHEME = re.compile(r"s3[an]?://", re.IGNORECASE)  # s3a and s3n are what Hadoop and Spark call it
OF_BOTO = re.compile(r"AWS_|\w*_PROXY$", re.IGNORECASE)  # what of the environment a client is made of
BUCKET = re.compile(r"[a-z0-9._-]{1,255}", re.IGNORECASE)
CREDENTIALS = (
    *(boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.TokenRetrievalError),
    *(boto.NoAuthTokenError, boto.MetadataRetrievalError, boto.SSOError),
)
CUT = boto.IncompleteReadError, boto.ResponseStreamingError, boto.FlexibleChecksumError, boto.ChecksumError


class SourceError(PipelineError):
    """A part that doesn't exist, can't be read, or isn't Parquet."""


class SourceUnavailable(SourceError):
    """The server of the source doesn't answer, or asks to retry later."""

    retryable = True


class SourceInterrupted(SourceUnavailable):
    """The bytes of a part ended too early, or arrived damaged."""


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return bucket and key of s3://bucket/key. Raises SourceError, also for an address with credentials."""
    scheme = SCHEME.match(uri)
    bucket, slash, key = uri[scheme.end() if scheme else 0 :].partition("/")
    if not (scheme and slash and bucket):
        raise SourceError(f"{redact(uri)} is not s3://bucket/key")
    if bucket.startswith("arn:"):
        raise SourceError(
            f"{redact(uri)}: an ARN can't name a bucket here; use the alias of the access point, which ends in -s3alias"
        )
    if "@" in bucket or ":" in bucket:
        raise SourceError(
            f"{redact(uri)}: an S3 address can't contain credentials; write s3://bucket/key, and set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY"
        )
    if not BUCKET.fullmatch(bucket):
        raise SourceError(f"{redact(uri)}: a bucket's name has only letters, digits, '.', '-' and '_'; correct it")
    return bucket, key


def client(anonymous: bool = False) -> Any:
    """Return a client for the AWS settings of the environment. Threads may share it: creating one takes 0.1 s.

    Raises SourceError if these settings can't be used.
    """
    try:
        return _client(anonymous, tuple(sorted(each for each in os.environ.items() if OF_BOTO.match(each[0]))))
    except (ValueError, boto.BotoCoreError) as error:  # what they say holds addresses as they were written
        name = "AWS_ENDPOINT_URL_S3" if type(error) is ValueError else f"the AWS settings ({type(error).__name__})"
        raise SourceError(
            f"{name} can't be used; check AWS_ENDPOINT_URL_S3 (like https://host:9000), AWS_PROFILE, "
            "AWS_DEFAULT_REGION and the AWS configuration files"
        ) from None


@lru_cache(maxsize=8)
def _client(anonymous: bool, _environment: tuple[tuple[str, str], ...]) -> Any:
    config = Config(
        connect_timeout=TIMEOUT[0],
        read_timeout=TIMEOUT[1],
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=CONNECTIONS,
        signature_version=UNSIGNED if anonymous else None,
    )
    return boto3.session.Session().client("s3", config=config)


def head(client: Any, bucket: str, key: str) -> dict[str, Any]:
    """Return the headers of an object.

    A refused HEAD request has no body, and so no error code. A GET request of one byte then brings the code or, from a
    server without HEAD, the object.
    """
    try:
        return dict(client.head_object(Bucket=bucket, Key=key))
    except boto.ClientError as error:
        if not error.response["Error"].get("Code", "").isdigit():
            raise
    found = client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
    found["Body"].close()
    size = found.get("ContentRange", "").rpartition("/")[2] or found["ContentLength"]
    return dict(found) | {"ContentLength": int(size)}


def pages(client: Any, bucket: str, prefix: str, **more: Any) -> Iterator[Any]:
    """Yield the pages of list_objects_v2, a thousand objects each."""
    yield from client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more)


@contextmanager
def errors(uri: str, setting: str = "VOUCHER_SOURCE") -> Iterator[None]:
    """Raise boto3's errors as SourceError or SourceUnavailable, with `uri`, the setting it comes from and the remedy.

    boto3's messages are not repeated: they contain addresses and headers as they were sent.
    """
    try:
        yield
    except boto.ClientError as error:
        raise _answered(error, uri, setting) from None
    except CREDENTIALS:
        raise SourceError(
            f"{redact(uri)}: AWS credentials are missing or incomplete; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or VOUCHER_S3_ANONYMOUS=1 for a public bucket"
        ) from None
    except CUT as error:
        raise SourceInterrupted(
            f"{redact(uri)}: the data from S3 is incomplete or damaged ({type(error).__name__}); run again"
        ) from None
    except (boto.HTTPClientError, boto.ConnectionError) as error:
        raise _unreachable(error, uri) from None
    except (boto.BotoCoreError, ResponseParserError) as error:
        raise SourceError(
            f"{redact(uri)}: S3 can't be reached, or the server is not S3 ({type(error).__name__}); check {setting} "
            "and AWS_ENDPOINT_URL_S3"
        ) from None


def _answered(error: boto.ClientError, uri: str, setting: str) -> SourceError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = str(error.response.get("Error", {}).get("Code", ""))
    code = said if re.fullmatch(r"[\w.]{1,64}", said) else str(status)
    known = answer(code, status)
    kind = SourceUnavailable if known.retryable else SourceError
    remedy = known.remedy.replace("{setting}", setting)
    return kind(f"{redact(uri)}: {known.meaning}; {remedy} (S3 answered {code})")


def _unreachable(error: boto.BotoCoreError, uri: str) -> SourceError:
    if "Invalid header value" in str(error):
        return SourceError(f"{redact(uri)}: the AWS credentials contain a line break; remove it")
    if "certificate verify failed" in str(error).lower():
        return SourceError(f"{redact(uri)}: the certificate of S3 is not trusted; set AWS_CA_BUNDLE to its authority's")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    where = f" at {redact(endpoint)}" if endpoint else ""
    return SourceUnavailable(
        f"{redact(uri)}: S3 does not answer{where} ({type(error).__name__}); check AWS_ENDPOINT_URL_S3 and the network"
    )
