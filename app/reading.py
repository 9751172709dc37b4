"""What is read from Postgres when it is asked for: over few connections that `published` has no part in.

Called by `runs`, `rules` and `assignments`.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from flask import current_app
from sqlalchemy import Executable, Row, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from app.published import Published

log = structlog.get_logger()

CONNECT = {
    "connect_timeout": 2,
    "tcp_user_timeout": 2000,
    "application_name": "voucher-api",
    # UTC: elsewhere 9999-12-31 may lie in a year that Python lacks.
    "options": "-c timezone=UTC -c datestyle=ISO -c statement_timeout=10000",
}


class DatabaseAwayError(Exception):
    """Postgres does not answer, or refuses to."""

    retry_after = 5


class UnknownRunError(LookupError):
    def __init__(self, run_id: str, detail: str = "is not on record") -> None:
        self.run_id, self.detail = run_id, detail
        super().__init__(f"{run_id} {detail}")


class Reader:
    """Reads over at most `connections` connections; who finds none free waits 2 seconds and no longer."""

    def __init__(self, url: URL, connections: int, published: Published) -> None:
        self._published = published
        self._engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=2,
            pool_pre_ping=True,
            connect_args=CONNECT,
            isolation_level="REPEATABLE READ",  # the statements of one `read` see the same rows
        )

    def read(self, *statements: Executable) -> list[Sequence[Row[Any]]]:
        """The rows of each statement, all as of one moment. Raises DatabaseAwayError."""
        try:
            with self._engine.connect() as connection:
                return [connection.execute(statement).all() for statement in statements]
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
            log.warning("tables cannot be read", error=type(error).__name__, reason=reason)
            raise DatabaseAwayError from error

    def require(self) -> None:
        """Raises DatabaseAwayError if the last look at the database failed: a request has not to wait for the next."""
        if not self._published.database_answers:
            raise DatabaseAwayError

    def stop(self) -> None:
        self._engine.dispose()


def reader(name: str) -> Reader:
    """The app's reader of `tables` or of `rows`. Raises DatabaseAwayError."""
    found: Reader = current_app.extensions[name]
    found.require()
    return found
