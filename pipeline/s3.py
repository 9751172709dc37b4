"""S3 as the environment has it: one client for all threads, and its errors as ours. Called by `source` and `rows`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.client import Config

from pipeline import PipelineError

CONNECTIONS = 32  # at once
TIMEOUT = (5, 60)  # seconds to connect, seconds between two chunks


class SourceError(PipelineError):
    """A part that isn't there, may not be read, or isn't Parquet."""


class SourceAway(SourceError):
    """The server that holds the source doesn't answer, or asks for patience."""

    passing = True


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Of s3://bucket/key. Raises SourceError."""
    split = urlsplit(uri)
    bucket, key = split.netloc, uri.removeprefix(f"s3://{split.netloc}").removeprefix("/")
    if not bucket or ("/" not in uri.removeprefix("s3://")):
        raise SourceError(f"{uri} is not s3://bucket/key")
    return bucket, key


def client(anonymous: bool = False) -> Any:
    """A client for what the environment says of AWS, which threads may share: to make one takes 0.1 s."""
    return _client(anonymous, tuple(sorted(each for each in os.environ.items() if each[0].startswith("AWS_"))))


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


def pages(client: Any, bucket: str, prefix: str, **more: str) -> Iterator[Any]:
    """What list_objects_v2 answers, a thousand objects at a time."""
    yield from client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more)


@contextmanager
def errors(uri: str, setting: str = "VOUCHER_SOURCE") -> Iterator[None]:
    """What boto3 says as SourceError or SourceAway, naming `uri`, the setting that it comes from, and the way out."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        said = error.response["Error"].get("Code", "") or status
        ways_out = {
            404: f"no such object; set {setting} to one that exists, or to a folder's name with a / at its end",
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
