"""Cleaned rows as files in S3."""

import json

import pytest

from pipeline.load import row_files
from pipeline.source.s3 import SourceError
from tests.conftest import Bucket

RUN = "0123456789abcdef"


def test_files_that_may_not_be_deleted_are_named(bucket: Bucket) -> None:
    """`delete` raises an error if S3 answers 200 but lists objects that it did not delete."""
    key = f"cleaned/loaded_by={RUN}/1.parquet"
    bucket.put(key, b"rows")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{bucket.name}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=policy)
    with pytest.raises(SourceError, match=rf"s3://{bucket.name}/{key} can't be deleted \(AccessDenied\)"):
        row_files.delete(f"s3://{bucket.name}/cleaned/", RUN)
    assert row_files.runs(f"s3://{bucket.name}/cleaned/") == [RUN]
    bucket.client.delete_bucket_policy(Bucket=bucket.name)
    row_files.delete(f"s3://{bucket.name}/cleaned/", RUN)
    assert row_files.runs(f"s3://{bucket.name}/cleaned/") == []
