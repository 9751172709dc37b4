"""An S3 stand-in that serves one object, the sample, at one address. Run by docker/s3.Dockerfile.

It never serves the sample at an address that VOUCHER_SOURCE names: invented data would look like your own history.

moto keeps objects in memory. They are uploaded at each start through another server of this process, so that the public
port opens only when the sample is available.
"""

import signal
from pathlib import Path
from threading import Event

import boto3
from moto.server import ThreadedMotoServer

HISTORY = Path(__file__).with_name("history.parquet")
BUCKET, KEY = "voucher-history", "history.parquet"  # the default of VOUCHER_SOURCE in docker-compose.yml


def main() -> None:
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _seed()
    server = ThreadedMotoServer("0.0.0.0", 9000)  # noqa: S104  (docker-compose.yml decides who can reach the container's port)
    server.start()
    print(f"s3://{BUCKET}/{KEY} is served", flush=True)  # noqa: T201
    stop.wait()
    server.stop()


def _seed() -> None:
    """Upload the sample. Both servers are in one process, so they serve the same objects."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    _, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": client.meta.region_name})
    client.put_object(Bucket=BUCKET, Key=KEY, Body=HISTORY.read_bytes())
    server.stop()


if __name__ == "__main__":
    main()
