"""Postgres with a fresh database for each run, the S3 stand-in, and the pipeline's command. Used by several proofs."""

import os
import runpy
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg2

from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from proofs.support.environment import PIPELINE, as_role, migrate, scrub
from proofs.support.killable import FORKS

SECONDS = 3600  # the limit for a run
POLL = 0.01


@dataclass(frozen=True)
class Ended:
    """A completed run. exitcode: negative for a signal; said: its output; reads: the key of each object read."""

    exitcode: int | None
    said: str
    seconds: float
    reads: tuple[str, ...]

    def faults(self, exitcode: int = 0, *saying: str) -> list[str]:
        """Return what differs from this exit code and these parts of the output."""
        if self.exitcode != exitcode:
            return [f"a run ended with {self.exitcode}, not {exitcode}: {self.said[-500:]}"]
        missing = [words for words in saying if words not in self.said]
        return [f"{words!r} is not in what a run said: {self.said[-500:]}" for words in missing]


@dataclass(frozen=True)
class Servers:
    """Running servers. `template` is a migrated database; objects are stored in `bucket`."""

    folder: Path
    postgres: Postgres
    s3: S3
    template: str = "template"
    bucket: str = "proof"

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["Servers"]:
        """Start the servers, and delete everything at the end. First remove what an earlier one left in the folder."""
        scrub()
        words = secrets.token_hex(8), secrets.token_hex(8)
        servers = cls(folder, Postgres(folder, free_port(), *words, durable=False), S3(folder, free_port()))
        try:
            servers._stop()
            folder.mkdir(parents=True)
            servers.postgres.start()
            servers.postgres.create(servers.template)
            migrate(servers.postgres.url(servers.template))
            servers.s3.start(dict(os.environ))
            servers.s3.create(servers.bucket)
            yield servers
        finally:
            servers._stop()

    def _stop(self) -> None:
        self.s3.stop()
        self.postgres.stop()
        self.postgres.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the owner's URL of a migrated, empty database, which is dropped at the end."""
        name = f"proof_{secrets.token_hex(6)}"
        self.postgres.create(name, self.template)
        try:
            yield self.postgres.url(name)
        finally:
            self.postgres.execute("DROP DATABASE {} WITH (FORCE)", name)

    def environ(self, database: str) -> dict[str, str]:
        """Return the settings of the pipeline and its workers."""
        return {
            **self.s3.environment,
            "PIPELINE_DATABASE_URL": as_role(database, PIPELINE),
            "TMPDIR": str(self.folder),  # where killed processes leave their files
        }

    def pipeline(
        self, database: str, source: str, *, meanwhile: Callable[[Any], None] | None = None, **settings: str
    ) -> Ended:
        """Run `python -m pipeline run` to its end. `meanwhile` is called with its process while it runs."""
        said, read, began = self.folder / "said", len(self._reads()), monotonic()
        process = FORKS.Process(
            target=_main, args=(["run", "--source", source], self.environ(database) | settings, said)
        )
        process.start()
        try:
            if meanwhile:
                meanwhile(process)
            process.join(SECONDS)
        finally:
            exitcode = process.exitcode
            process.kill()
            process.join()
        return Ended(exitcode, said.read_text(), monotonic() - began, tuple(self._reads()[read:]))

    def _reads(self) -> list[str]:
        """Return the keys of all objects read so far."""
        requests = (line.partition(f'"GET /{self.bucket}/')[2] for line in self.s3.processes.log("s3").open())
        return [key for key in (request.partition(" ")[0] for request in requests) if key and "?" not in key]

    def put(self, key: str, content: Path | bytes) -> str:
        """Store an object. Return its address."""
        return self.s3.put(self.bucket, key, content)

    def store(self, folder: str, paths: Iterable[Path]) -> str:
        """Store files under their names. Return the address of the folder."""
        client = self.s3.client()
        for path in paths:
            client.upload_file(str(path), self.bucket, f"{folder}/{path.name}")
        return f"s3://{self.bucket}/{folder}/"

    def remove(self, key: str) -> None:
        self.s3.client().delete_object(Bucket=self.bucket, Key=key)

    def keys(self, prefix: str) -> set[str]:
        """Return the keys of the stored objects."""
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}

    def admin(self, database: str) -> Any:
        """Return a connection that can see what other sessions do."""
        return closing(psycopg2.connect(self.postgres.admin_url(database.rpartition("/")[2])))

    @contextmanager
    def held_up(self, database: str, parts: int, process: Any) -> Iterator[tuple[int, int]]:
        """Block a run when it, or its workers, has loaded so many parts and written the rows of another.

        Yield the number of loaded parts, and the client port of a connection that waits.
        """
        with self.admin(database) as connection, connection.cursor() as cursor:

            def found(statement: str) -> Any:
                cursor.execute(statement)
                return cursor.fetchone()

            def loaded() -> bool:
                connection.rollback()
                return bool(found("SELECT count(*) FROM voucher.loaded_part")[0] >= parts) or not process.is_alive()

            def waits() -> bool:
                found("SELECT pg_stat_clear_snapshot()")
                return bool(found(WAITING)) or not process.is_alive()

            until(loaded, SECONDS, every=POLL)
            cursor.execute("LOCK TABLE voucher.loaded_part IN SHARE MODE")
            until(waits, 20, every=POLL)
            if not (waiting := found(WAITING)):
                raise AssertionError(
                    f"the run was over, or stood still, before {parts} parts were loaded and one under way"
                )
            yield int(found("SELECT count(*) FROM voucher.loaded_part")[0]), int(waiting[0])


WAITING = """SELECT client_port FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    AND query LIKE '%INTO voucher.loaded_part%'"""


def _main(arguments: Sequence[str], environ: Mapping[str, str], said: Path) -> None:
    os.environ.update(environ)
    tempfile.tempdir = None  # so that TMPDIR is read again
    with said.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["pipeline", *arguments]
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
