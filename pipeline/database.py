"""The pipeline's connections to Postgres, and the driver's errors as ours. Called by all that write tables."""

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

LOCK_SECONDS = 30  # for a table that another session holds on to; to open or drop a partition all others must let go
ONE_RUN = 0x766F7563686572  # the advisory lock of the step that is at work: "voucher"
# Set in each transaction, because a connection pooler may hand the next one to another server process, and once on a
# connection that is held. Limits of a role or a database are meant for the questions of people, and would end a COPY or
# the wait for another run.
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
    "{variable} leads to a connection pooler in transaction mode, in which no run can lock out another; use the "
    "pooler's session mode, or Postgres itself"
)


class DatabaseError(PipelineError):
    """Postgres refuses: tables missing, a role without rights, a run that isn't there."""


class DatabaseAway(DatabaseError):
    """Postgres doesn't answer, or went away, or refuses for a reason that passes."""

    passing = True


class DatabaseBusy(DatabaseError):
    """Another session holds on to a table."""

    passing = True


@dataclass(frozen=True)
class Database:
    """Where the published tables lie, as the pipeline's own role. What `alone` gives has a connection to itself; `pid`
    is the server process that must serve it where a pooler may be in between, and None on a direct connection.
    """

    url: Address | str = field(repr=False)
    held: Any = field(default=None, repr=False)
    pid: int | None = None

    @cached_property
    def address(self) -> Address:
        """The address as it was read. Raises SettingsError of `shared.environment`."""
        return Address.read(self.url) if isinstance(self.url, str) else self.url

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose rows are named tuples, times in UTC; committed at the end, rolled back on any error.

        Raises DatabaseAway or DatabaseError in place of the driver's errors.
        """
        with self._our_errors(), self._connected() as connection, connection, connection.cursor() as cursor:
            if not self.held:
                cursor.execute(postgres.settings(self.address, connection, SETTINGS))
            elif self.pid:
                cursor.execute("SELECT pg_backend_pid()")
                if cursor.fetchone()[0] != self.pid:
                    raise self._pooled()
            yield cursor

    @contextmanager
    def alone(self) -> Iterator["Database"]:
        """Wait until no other step of a run is at work on these tables, and keep the others waiting in turn.

        The lock is the connection's, so Postgres lets go of it when this process dies. Raises DatabaseError where a
        pooler would hand the lock to somebody else.
        """
        with self._our_errors():
            connection = self._connect()
            connection.autocommit = True
            cursor = connection.cursor()
            pid = self._own_process(connection, cursor)
            cursor.execute(f"{WHILE_HELD}; SELECT pg_try_advisory_lock(%s)", (ONE_RUN,))
            if not cursor.fetchone()[0]:
                log.info("another run is at work on these tables; waiting until its step ends")
                cursor.execute("SELECT pg_advisory_lock(%s)", (ONE_RUN,))
            cursor.execute(postgres.settings(self.address, connection, SETTINGS, "SET"))
            connection.autocommit = False
        with closing(connection):
            try:
                yield replace(self, held=connection, pid=pid)
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
        if self.held:
            yield self.held
        else:
            with closing(self._connect()) as connection:
                yield connection

    def _connect(self) -> Any:
        return postgres.connect(self.address, application_name="voucher-pipeline", cursor_factory=NamedTupleCursor)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        """Raise the driver's errors as ours: its own words may show what the address holds."""
        try:
            yield
        except psycopg2.Error as error:
            answer = sqlstates.classify(error)
            busy = DatabaseBusy if answer.sqlstate == "55P03" else DatabaseAway
            ours = busy if answer.retryable else DatabaseError
            raise ours(sqlstates.explain(error, self.address)) from None


def _local_port(connection: Any) -> int | None:
    """The TCP port on this side; None of a Unix socket."""
    with socket.socket(fileno=dup(connection.fileno())) as own:
        return own.getsockname()[1] if own.family in (socket.AF_INET, socket.AF_INET6) else None


def _unlock(connection: Any) -> bool:
    """Let go of the lock; False when it was another server process that had it."""
    with suppress(psycopg2.Error):  # what went away has let go
        connection.rollback()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", (ONE_RUN,))
            return bool(cursor.fetchone()[0])
    return True
