"""An S3 stand-in: moto's server as a process, on 127.0.0.1 only. Used by `up` and by the tests.

It keeps its objects in memory, so they are stored again after each start.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

from dev.processes import Process, Processes

BUCKET, KEY = "voucher-history", "history.parquet"
SOURCE = f"s3://{BUCKET}/{KEY}"
ACCESS_KEY, SECRET_KEY, REGION = "voucher", "first-look-only", "eu-central-1"  # moto accepts any


@dataclass(frozen=True)
class S3:
    """The stand-in on `port`, with its record and log in `folder`."""

    folder: Path
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> str:
        return str(self.port)

    @property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """The settings for boto3 and the AWS command line."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }

    def start(self, env: dict[str, str]) -> Process:
        """Start it, empty, if it does not run, and wait until it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        process = self.processes.running("s3") or self.processes.start(
            "s3", command, env, settings=self.settings, port=self.port
        )
        self.processes.wait(["s3"], self.healthy)
        return process

    def healthy(self) -> bool:
        try:
            return requests.get(f"{self.endpoint}/moto-api/data.json", timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self) -> bool:
        return self.processes.stop("s3")

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def create(self, bucket: str) -> None:
        """Create a bucket, unless it exists."""
        client = self.client()
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def put(self, bucket: str, key: str, content: Path | bytes) -> str:
        """Store a file or bytes. Return the address."""
        body = content if isinstance(content, bytes) else content.read_bytes()
        self.client().put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def holds(self, bucket: str, key: str) -> bool:
        try:
            self.client().head_object(Bucket=bucket, Key=key)
        except self.client().exceptions.ClientError:
            return False
        return True
