"""What the addresses refer to: a migrated database, an S3 stand-in, a web server, and a history."""

import gc
import http.server
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dev.services.s3 import S3
from pipeline.migrations import migrate
from proofs.support.environment import as_role

ROWS = 20
HISTORY = {
    "timestamp": "2020-05-15 18:59:21.102761+00:00",
    "country_code": "Peru",
    "last_order_ts": "2020-04-15 00:00:00+00:00",
    "first_order_ts": "2020-03-01 00:00:00+00:00",
    "total_orders": "12.0",
    "voucher_amount": 2640.0,
}


@dataclass(frozen=True)
class Targets:
    """A migrated database, a file, an S3 stand-in, and a web server that serves the file at every path."""

    owner: str
    roles: str  # the prefix of its own roles, as migrations change their passwords
    history: Path
    bucket: str
    s3: Mapping[str, str]
    web: int

    @property
    def pipeline(self) -> str:
        return as_role(self.owner, f"{self.roles}_pipeline")

    @property
    def api(self) -> str:
        return as_role(self.owner, f"{self.roles}_api")

    def migrate(self) -> None:
        """Set the passwords of both roles."""
        migrate(self.owner, self.pipeline, self.api)


class _Anything(http.server.BaseHTTPRequestHandler):
    """Serves the same file at every path, and takes every notice."""

    def __init__(self, content: bytes, *others: Any) -> None:
        self.content = content
        super().__init__(*others)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def open_targets(owner: str, folder: Path, s3: S3, bucket: str) -> Iterator[Targets]:
    """Open the targets on a migrated database and a bucket. The file is written to `folder`."""
    history_file = folder / "history.parquet"
    pq.write_table(pa.table({name: [value] * ROWS for name, value in HISTORY.items()}), history_file)
    s3.put(bucket, "h.parquet", history_file)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Anything, history_file.read_bytes()))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    roles = f"secrets_{secrets.token_hex(4)}"
    targets = Targets(owner, roles, history_file, bucket, s3.environment, server.server_address[1])
    try:
        targets.migrate()
        gc.freeze()  # each command collects garbage, but should skip all earlier objects
        yield targets
    finally:
        gc.unfreeze()
        server.shutdown()
        thread.join()
        server.server_close()
