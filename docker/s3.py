"""An S3 stand-in that holds one object, the sample, at one address. Called by docker/s3.Dockerfile.

It does not serve the sample at an address that VOUCHER_SOURCE names: made-up data would pass for your own history.

moto keeps objects in memory: they are put there at each start, through a server of their own, so that the port others
know opens once the sample is served.
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
    server = ThreadedMotoServer("0.0.0.0", 9000)  # noqa: S104  (a container's port is open to whom it is published)
    server.start()
    print(f"s3://{BUCKET}/{KEY} is served", flush=True)  # noqa: T201
    stop.wait()
    server.stop()


def _seed() -> None:
    """Both servers are of one process, and so serve the same objects."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    _, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": client.meta.region_name})
    client.put_object(Bucket=BUCKET, Key=KEY, Body=HISTORY.read_bytes())
    server.stop()


if __name__ == "__main__":
    main()
