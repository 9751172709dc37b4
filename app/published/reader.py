"""Query Postgres for a request, over a connection pool of its own. Used by `reports` and `page`."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import structlog
from flask import current_app
from sqlalchemy import Connection, Executable, Row
from sqlalchemy.exc import SQLAlchemyError

from app.errors import ApiError, echo
from app.published import database
from app.published.database import DatabaseUnavailableError
from app.published.refresher import Published
from shared import sqlstates
from shared.postgres import Address

log = structlog.get_logger()
R = TypeVar("R")


class UnknownRunError(ApiError):
    """The run does not exist, or was never published."""

    status = HTTPStatus.NOT_FOUND
    type = "unknown-run"
    title = "Unknown run"

    def __init__(self, run_id: str, reason: str = "does not exist") -> None:
        super().__init__(f"Run {echo(run_id)!r} {reason}. /runs lists the runs.")


class Reader:
    """A connection pool of at most `connections`. A request waits up to 2 seconds for a free connection."""

    def __init__(self, address: Address, connections: int, published: Published) -> None:
        self._published = published
        self._address = address
        self._engine = database.engine(
            address,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=2,
            isolation_level="REPEATABLE READ",  # the statements of one call see the same rows
        )

    def read(self, *statements: Executable) -> list[Sequence[Row[Any]]]:
        """Return the rows of each statement, all from one database snapshot. Raises DatabaseUnavailableError."""
        return self.within(lambda connection: [connection.execute(statement).all() for statement in statements])

    def within(self, query: Callable[[Connection], R]) -> R:
        """Return what `query` returns for a connection. Its statements see the same rows.

        Raises DatabaseUnavailableError, and the errors of `query`.
        """
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            reason = sqlstates.explain(error, self._address)
            log.warning("tables cannot be read", error=type(error).__name__, reason=reason)
            raise DatabaseUnavailableError from None

    def require(self) -> None:
        """Raise DatabaseUnavailableError if the last poll of the database failed. This does not wait for a timeout."""
        if not self._published.database_answers:
            raise DatabaseUnavailableError

    def stop(self) -> None:
        self._engine.dispose()


def reader(name: str) -> Reader:
    """Return the app's reader named `tables` or `rows`. Raises DatabaseUnavailableError."""
    found: Reader = current_app.extensions[name]
    found.require()
    return found
