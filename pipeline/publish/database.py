"""Connect to Postgres as the pipeline, and raise the driver's errors as ours. Used by all that write tables."""

import logging
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import dup
from typing import Any

import psycopg2
from psycopg2.extras import NamedTupleCursor

from pipeline import PipelineError
from shared import postgres, sqlstates
from shared.postgres import Address

log = logging.getLogger("pipeline")

LOCK_SECONDS = 30  # for a table that another session has locked; a partition can only be created or dropped without
ONE_RUN = 0x766F7563686572  # the advisory lock of the step that is running: "voucher"
# Set in each transaction, because a connection pooler may give the next one to another server process, and once on an
# exclusive connection. Limits of a role or a database are meant for people's queries, and would end a COPY or the wait
# for another run.
SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
WHILE_HELD = (
    "SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0; SET tcp_keepalives_idle = 60"
)
POOLED = (
    "{variable} leads to a connection pooler in transaction mode, in which runs can't lock each other out; use the "
    "pooler's session mode, or connect to Postgres directly"
)


class DatabaseError(PipelineError):
    """Postgres refuses: a table is missing, the role lacks a right, there is no such run."""


class DatabaseUnavailable(DatabaseError):
    """Postgres doesn't answer, the connection was lost, or it refuses for a temporary reason."""

    retryable = True


class DatabaseBusy(DatabaseError):
    """Another session holds a lock on a table."""

    retryable = True


@dataclass(frozen=True)
class Database:
    """The database of the published tables, as the pipeline's own role.

    `exclusive` gives one with a `connection` of its own. `pid` is the server process that must serve it if a pooler may
    be in between, and None on a direct connection.
    """

    url: Address | str = field(repr=False)
    connection: Any = field(default=None, repr=False)
    pid: int | None = None

    @cached_property
    def address(self) -> Address:
        """The parsed address. Raises SettingsError of `shared.environment`."""
        return Address.read(self.url) if isinstance(self.url, str) else self.url

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Open a cursor whose rows are named tuples, times in UTC; commit at the end, roll back on any error.

        Raises DatabaseUnavailable or DatabaseError instead of the driver's errors.
        """
        with self._our_errors(), self._connected() as connection, connection, connection.cursor() as cursor:
            if not self.connection:
                cursor.execute(postgres.settings(self.address, connection, SETTINGS))
            elif self.pid:
                cursor.execute("SELECT pg_backend_pid()")
                if cursor.fetchone()[0] != self.pid:
                    raise self._pooled()
            yield cursor

    @contextmanager
    def exclusive(self) -> Iterator["Database"]:
        """Hold the lock that lets one step of one run at a time change these tables; wait for it if necessary.

        The lock belongs to the connection, so Postgres releases it when this process dies. Raises DatabaseError if a
        pooler would hand the lock to another client.
        """
        with self._our_errors():
            connection = self._connect()
            connection.autocommit = True
            cursor = connection.cursor()
            pid = self._own_process(connection, cursor)
            cursor.execute(f"{WHILE_HELD}; SELECT pg_try_advisory_lock(%s)", (ONE_RUN,))
            if not cursor.fetchone()[0]:
                log.info("another run is changing these tables; waiting until its step ends")
                cursor.execute("SELECT pg_advisory_lock(%s)", (ONE_RUN,))
            cursor.execute(postgres.settings(self.address, connection, SETTINGS, "SET"))
            connection.autocommit = False
        with closing(connection):
            try:
                yield replace(self, connection=connection, pid=pid)
            finally:
                unlocked = _unlock(connection)
        if not unlocked:
            raise self._pooled()

    def _own_process(self, connection: Any, cursor: Any) -> int | None:
        """Return the server process behind the connection, or None if the connection is certainly direct.

        Raises DatabaseError when that process serves other connections too.
        """
        cursor.execute("SELECT pg_backend_pid(), inet_client_port()")
        pid, port = cursor.fetchone()
        if port == _local_port(connection):
            return None if port else int(pid)  # a pooler may have two Unix sockets
        with closing(self._connect()) as other, other, other.cursor() as at_the_same_time:
            at_the_same_time.execute("SELECT pg_backend_pid()")
            cursor.execute("SELECT pg_backend_pid()")
            if at_the_same_time.fetchone()[0] == pid or cursor.fetchone()[0] != pid:
                connection.close()
                raise self._pooled()
        return int(pid)

    def _pooled(self) -> DatabaseError:
        return DatabaseError(POOLED.format(variable=self.address.variable))

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        if self.connection:
            yield self.connection
        else:
            with closing(self._connect()) as connection:
                yield connection

    def _connect(self) -> Any:
        return postgres.connect(self.address, application_name="voucher-pipeline", cursor_factory=NamedTupleCursor)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        """Raise the driver's errors as ours: its messages may contain the address."""
        try:
            yield
        except psycopg2.Error as error:
            answer = sqlstates.classify(error)
            busy = DatabaseBusy if answer.sqlstate == "55P03" else DatabaseUnavailable
            ours = busy if answer.retryable else DatabaseError
            raise ours(sqlstates.explain(error, self.address)) from None


def _local_port(connection: Any) -> int | None:
    """Return the TCP port on this side, or None for a Unix socket."""
    with socket.socket(fileno=dup(connection.fileno())) as own:
        return own.getsockname()[1] if own.family in (socket.AF_INET, socket.AF_INET6) else None


def _unlock(connection: Any) -> bool:
    """Release the lock; return False if another server process had it."""
    with suppress(psycopg2.Error):  # a lost connection has no lock
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", (ONE_RUN,))
            return bool(cursor.fetchone()[0])
    return True
