"""Cleaned rows as Parquet files in S3, where VOUCHER_ROWS says so: a file for each part, `loaded_by=RUN/PART.parquet`.

Called by `store`, and by `run`'s step prune. A file counts once `voucher.loaded_part` names it.
"""

from pathlib import Path

import boto3.exceptions
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import scratch
from pipeline.source import SourceError, bucket_and_key, s3, s3_errors

FOLDER = "loaded_by="
SETTING = "VOUCHER_ROWS"


def write(prefix: str, run_id: str, part_id: int, kept: pa.RecordBatchReader) -> tuple[str, int]:
    """Write a part's rows, as a whole or not at all; the file's address, and how many they are. Raises SourceError."""
    uri = f"{prefix}{FOLDER}{run_id}/{part_id}.parquet"
    bucket, key = bucket_and_key(uri)
    with scratch.folder() as folder:
        path = Path(folder, "rows.parquet")
        with pq.ParquetWriter(path, kept.schema, compression="zstd") as file:
            for batch in kept:
                file.write_batch(batch)
        written = pq.read_metadata(path).num_rows
        try:
            with s3_errors(uri, SETTING):
                s3().upload_file(str(path), bucket, key)
        except boto3.exceptions.S3UploadFailedError as error:
            raise SourceError(
                f"{uri} can't be written ({error}); check {SETTING} and what the credentials may"
            ) from None
    return uri, written


def runs(prefix: str) -> list[str]:
    """The runs that wrote files under `prefix`."""
    bucket, folder = bucket_and_key(prefix)
    with s3_errors(prefix, SETTING):
        pages = s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder + FOLDER, Delimiter="/")
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    return [each.removeprefix(folder + FOLDER).rstrip("/") for each in found]


def delete(prefix: str, run_id: str) -> None:
    """Delete what the run wrote."""
    bucket, folder = bucket_and_key(prefix)
    with s3_errors(prefix, SETTING):
        for page in s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}{FOLDER}{run_id}/"):
            s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": each["Key"]} for each in page["Contents"]]})
