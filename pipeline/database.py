"""The pipeline's connections to Postgres, and the driver's errors as ours. Called by all that write tables."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2
from psycopg2.extras import NamedTupleCursor

from pipeline import PipelineError

log = logging.getLogger("pipeline")

CONNECT_SECONDS = 10
LOCK_SECONDS = 30  # for a table that another session holds on to; to open or drop a partition all others must let go
ONE_RUN = 0x766F7563686572  # the advisory lock of the step that is at work: "voucher"
MISSING = (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName, psycopg2.errors.UndefinedFunction)


class DatabaseError(PipelineError):
    """Postgres refuses: tables missing, a role without rights, a run that isn't there."""


class DatabaseAway(DatabaseError):
    """Postgres doesn't answer, or went away."""

    passing = True


class DatabaseBusy(DatabaseError):
    """Another session holds on to a table."""

    passing = True


@dataclass(frozen=True)
class Database:
    """Where the published tables lie, as the pipeline's own role; url in libpq's form. What `alone` gives has a
    connection to itself.
    """

    url: str
    held: Any = field(default=None, repr=False)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose rows are named tuples, times in UTC; committed at the end, rolled back on any error.

        Raises DatabaseAway or DatabaseError in place of the driver's errors.
        """
        with _our_errors(), self._connected() as connection, connection, connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def alone(self) -> Iterator["Database"]:
        """Wait until no other step of a run is at work on these tables, and keep the others waiting in turn.

        The lock is the connection's, so Postgres lets go of it when this process dies.
        """
        with _our_errors():
            connection = self._connect("-c lock_timeout=0 -c idle_session_timeout=0 -c tcp_keepalives_idle=60")
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (ONE_RUN,))
            if not cursor.fetchone()[0]:
                log.info("another run is at work on these tables; waiting until its step ends")
                cursor.execute("SELECT pg_advisory_lock(%s)", (ONE_RUN,))
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            connection.autocommit = False
        with closing(connection):
            yield replace(self, held=connection)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        if self.held:
            yield self.held
        else:
            with closing(self._connect()) as connection:
                yield connection

    def _connect(self, settings: str = "") -> Any:
        return psycopg2.connect(
            self.url,
            connect_timeout=CONNECT_SECONDS,
            application_name="voucher-pipeline",
            cursor_factory=NamedTupleCursor,
            options=f"-c timezone=UTC -c lock_timeout={LOCK_SECONDS}s {settings}",
        )


@contextmanager
def _our_errors() -> Iterator[None]:
    """What the driver says holds no password."""
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"Postgres refused: {_first_line(error)}; `python -m pipeline migrate` lets the role of "
            "PIPELINE_DATABASE_URL do what it needs"
        ) from error
    except MISSING as error:
        raise DatabaseError(
            f"Postgres lacks the tables ({_first_line(error)}); `python -m pipeline migrate` makes them"
        ) from error
    except psycopg2.errors.LockNotAvailable as error:
        raise DatabaseBusy(
            f"another session holds on to a table for more than {LOCK_SECONDS} s (pg_stat_activity shows whose); run "
            "again when it is done"
        ) from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        # Where a rollback failed because Postgres had died, what the statement before it said tells more.
        raise DatabaseAway(
            f"Postgres does not answer ({_first_line(error.__context__ or error)}); "
            "check PIPELINE_DATABASE_URL, else DATABASE_URL, and that it runs"
        ) from error
    except psycopg2.Error as error:
        raise DatabaseError(f"Postgres refused: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
