"""A durable Postgres and an S3 stand-in, for benchmarks of the pipeline. Used by `pipeline` and `growth`."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dev.ports import free_port
from dev.postgres import Postgres
from dev.processes import StackError
from dev.s3 import BUCKET, S3
from pipeline.migrations import migrate

TEMPLATE = "migrated"


@dataclass(frozen=True)
class Stage:
    """Both servers, and a folder for what the benchmark writes."""

    folder: Path
    postgres: Postgres
    s3: S3

    @property
    def postgres_pid(self) -> int:
        if process := self.postgres.processes.running("postgres"):
            return process.pid
        raise StackError(f"Postgres ended. Its log ends:\n{self.postgres.processes.tail('postgres')}")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of a migrated, empty database, dropped in the end."""
        name = f"run_{secrets.token_hex(4)}"
        self.postgres.create(name, TEMPLATE)
        try:
            yield name
        finally:
            self.postgres.execute("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def stored(self, parts: list[Path], prefix: str) -> Iterator[str]:
        """Objects of the files' names under the prefix, deleted in the end; the address of the prefix."""
        keys = [f"{prefix}/{part.name}" for part in parts]
        try:
            for key, part in zip(keys, parts, strict=True):
                self.s3.put(BUCKET, key, part)
            yield f"s3://{BUCKET}/{prefix}/"
        finally:
            for key in keys:
                self.s3.client().delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def stage() -> Iterator[Stage]:
    """Start both, and stop them in the end. Postgres waits for the disk, as where a pipeline runs in earnest."""
    with tempfile.TemporaryDirectory(prefix="voucher-benchmark-") as name:
        folder = Path(name)
        postgres = Postgres(folder, free_port(), "benchmark", "admin")
        s3 = S3(folder, free_port())
        try:
            postgres.start()
            postgres.create(TEMPLATE)
            migrate(postgres.url(TEMPLATE))
            s3.start(dict(os.environ))
            s3.create(BUCKET)
            yield Stage(folder, postgres, s3)
        finally:
            s3.stop()
            postgres.stop()
            postgres.remove()


def thinned(source: Path, rows: int, target: Path) -> Path:
    """About as many of the file's rows, evenly spread over it, as a file of its own."""
    table = pq.read_table(source)
    chosen = np.linspace(0, table.num_rows - 1, min(rows, table.num_rows)).astype(int)
    pq.write_table(table.take(pa.array(chosen)), target)
    return target
