"""Cleaned rows as Parquet files in S3, where VOUCHER_ROWS says so: a file for each part, `loaded_by=RUN/PART.parquet`.

Called by `store`, and by `run`'s step prune. A file counts once `voucher.loaded_part` names it.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import s3, scratch
from pipeline.s3 import SourceAway, SourceError
from pipeline.s3_answers import answer as meaning
from shared.addresses import shown

FOLDER = "loaded_by="
SETTING = "VOUCHER_ROWS"


def address(prefix: str, run_id: str, part_id: int) -> str:
    """Of the file for a part that a run loads."""
    return f"{prefix}{FOLDER}{run_id}/{part_id}.parquet"


def write(prefix: str, run_id: str, part_id: int, kept: pa.RecordBatchReader) -> tuple[str, int]:
    """Write a part's rows, as a whole or not at all; the file's address, and how many they are. Raises SourceError."""
    uri = address(prefix, run_id, part_id)
    bucket, key = s3.bucket_and_key(uri)
    with scratch.folder() as folder:
        path = Path(folder, "rows.parquet")
        with pq.ParquetWriter(path, kept.schema, compression="zstd") as file:
            for batch in kept:
                file.write_batch(batch)
        written = pq.read_metadata(path).num_rows
        with s3.errors(uri, SETTING), path.open("rb") as file:  # upload_file would hide the code that S3 answers
            s3.client().upload_fileobj(file, bucket, key)
    return uri, written


def runs(prefix: str) -> list[str]:
    """The runs that wrote files under `prefix`. Raises SourceError."""
    bucket, folder = s3.bucket_and_key(prefix)
    with s3.errors(prefix, SETTING):
        pages = s3.pages(s3.client(), bucket, folder + FOLDER, Delimiter="/")
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    return [each.removeprefix(folder + FOLDER).rstrip("/") for each in found]


def delete(prefix: str, run_id: str) -> None:
    """Delete what the run wrote. Raises SourceError, also when some of it can't be."""
    bucket, folder = s3.bucket_and_key(prefix)
    client = s3.client()
    with s3.errors(prefix, SETTING):
        for page in s3.pages(client, bucket, f"{folder}{FOLDER}{run_id}/"):
            keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": keys}) if keys else {}
            for fault in answer.get("Errors", []):
                kind = SourceAway if meaning(fault["Code"], 0).retryable else SourceError
                name = shown(f"s3://{bucket}/{fault['Key']}")
                raise kind(f"{name} can't be deleted ({fault['Code']}); check what the credentials may")
