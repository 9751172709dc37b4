"""Write cleaned rows to Parquet files in S3, for VOUCHER_ROWS: one file per part, `loaded_by=RUN/PART.parquet`.

Called by `tables`. A file counts once `voucher.loaded_part` names it.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.source import s3, tempfolder
from pipeline.source.s3 import SourceError, SourceUnavailable
from pipeline.source.s3_answers import answer as meaning
from shared.addresses import redact

FOLDER = "loaded_by="
SETTING = "VOUCHER_ROWS"


def address(prefix: str, run_id: str, part_id: int) -> str:
    """Return the address of the file for a part that a run loads."""
    return f"{prefix}{FOLDER}{run_id}/{part_id}.parquet"


def write(prefix: str, run_id: str, part_id: int, kept: pa.RecordBatchReader) -> tuple[str, int]:
    """Write a part's rows, all or none; return the file's address and the number of rows. Raises SourceError."""
    uri = address(prefix, run_id, part_id)
    bucket, key = s3.bucket_and_key(uri)
    with tempfolder.create() as folder:
        path = Path(folder, "rows.parquet")
        with pq.ParquetWriter(path, kept.schema, compression="zstd") as file:
            for batch in kept:
                file.write_batch(batch)
        written = pq.read_metadata(path).num_rows
        with s3.errors(uri, SETTING), path.open("rb") as file:  # upload_file would hide the code that S3 answers
            s3.client().upload_fileobj(file, bucket, key)
    return uri, written


def runs(prefix: str) -> list[str]:
    """Return the ids of the runs that wrote files under `prefix`. Raises SourceError."""
    bucket, folder = s3.bucket_and_key(prefix)
    with s3.errors(prefix, SETTING):
        pages = s3.pages(s3.client(), bucket, folder + FOLDER, Delimiter="/")
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    return [each.removeprefix(folder + FOLDER).rstrip("/") for each in found]


def delete(prefix: str, run_id: str) -> None:
    """Delete the run's files. Raises SourceError if any of them can't be deleted."""
    bucket, folder = s3.bucket_and_key(prefix)
    client = s3.client()
    with s3.errors(prefix, SETTING):
        for page in s3.pages(client, bucket, f"{folder}{FOLDER}{run_id}/"):
            keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": keys}) if keys else {}
            for fault in answer.get("Errors", []):
                kind = SourceUnavailable if meaning(fault["Code"], 0).retryable else SourceError
                name = redact(f"s3://{bucket}/{fault['Key']}")
                raise kind(f"{name} can't be deleted ({fault['Code']}); check what the credentials may")
