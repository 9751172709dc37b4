"""The pipeline's connections to Postgres, and the drivers' errors as ours. Called by all that write tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import adbc_driver_manager
import psycopg2
from adbc_driver_postgresql import dbapi as adbc
from psycopg2.extras import NamedTupleCursor

from pipeline import PipelineError

CONNECT_SECONDS = 10
MISSING = (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName, psycopg2.errors.UndefinedFunction)


class DatabaseError(PipelineError):
    """Postgres refuses: tables missing, a role without rights, a run that isn't there."""


class DatabaseAway(DatabaseError):
    """Postgres doesn't answer, or went away."""

    passing = True


@dataclass(frozen=True)
class Database:
    """Where the published tables lie, as the pipeline's own role; url in libpq's form."""

    url: str

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose rows are named tuples, times in UTC; committed at the end, rolled back on any error.

        Raises DatabaseAway or DatabaseError in place of the driver's errors.
        """
        with _our_errors():
            connection = psycopg2.connect(
                self.url,
                connect_timeout=CONNECT_SECONDS,
                application_name="voucher-pipeline",
                cursor_factory=NamedTupleCursor,
                options="-c timezone=UTC",
            )
            try:
                with connection, connection.cursor() as cursor:
                    yield cursor
            finally:
                connection.close()

    @contextmanager
    def bulk_transaction(self) -> Iterator[Any]:
        """The same with a cursor that takes streams of Arrow batches; its parameters are $1, $2, …"""
        with _our_errors(), adbc.connect(self.url) as connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()


@contextmanager
def _our_errors() -> Iterator[None]:
    """What the drivers say holds no password."""
    try:
        yield
    except MISSING as error:
        raise DatabaseError(
            f"Postgres lacks the tables ({_first_line(error)}); `python -m pipeline migrate` makes them"
        ) from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError, adbc_driver_manager.OperationalError) as error:
        raise DatabaseAway(
            f"Postgres does not answer ({_first_line(error)}); check DATABASE_URL and that it runs"
        ) from error
    except (psycopg2.Error, adbc_driver_manager.Error) as error:
        raise DatabaseError(f"Postgres refused: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
