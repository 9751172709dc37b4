"""A durable Postgres and an S3 stand-in, for the benchmarks of the pipeline."""

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
from dev.processes import StackError
from dev.services.postgres import Postgres
from dev.services.s3 import BUCKET, S3
from pipeline.migrations import migrate

TEMPLATE = "migrated"


@dataclass(frozen=True)
class Fixtures:
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
        """Yield the name of a migrated, empty database, which is dropped at the end."""
        name = f"run_{secrets.token_hex(4)}"
        self.postgres.create(name, TEMPLATE)
        try:
            yield name
        finally:
            self.postgres.execute("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def stored(self, parts: list[Path], prefix: str) -> Iterator[str]:
        """Store the files under the prefix, delete them at the end, and yield the address of the prefix."""
        keys = [f"{prefix}/{part.name}" for part in parts]
        try:
            for key, part in zip(keys, parts, strict=True):
                self.s3.put(BUCKET, key, part)
            yield f"s3://{BUCKET}/{prefix}/"
        finally:
            for key in keys:
                self.s3.client().delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def fixtures() -> Iterator[Fixtures]:
    """Start both servers, and stop them at the end. Postgres waits for the disk, as in production."""
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
            yield Fixtures(folder, postgres, s3)
        finally:
            s3.stop()
            postgres.stop()
            postgres.remove()


def thinned(source: Path, rows: int, target: Path) -> Path:
    """Write about so many of the file's rows, evenly spread, to `target`. Return `target`."""
    table = pq.read_table(source)
    chosen = np.linspace(0, table.num_rows - 1, min(rows, table.num_rows)).astype(int)
    pq.write_table(table.take(pa.array(chosen)), target)
    return target
