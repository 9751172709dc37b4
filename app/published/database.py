"""Connect the service to Postgres. Used by `create_app` and `reader`."""

from http import HTTPStatus
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from app.errors import ApiError
from shared import postgres
from shared.postgres import Address

URL = "postgresql+psycopg2://"  # only names the driver; `postgres.connect` gets the address
# Set in each transaction, because a connection pooler may use another server process for each.
SETTINGS = {
    "timezone": "UTC",  # in another zone, 9999-12-31 may become a year that Python cannot represent
    "datestyle": "ISO",
    "statement_timeout": "10s",
}


class DatabaseUnavailableError(ApiError):
    """Postgres cannot be reached or refuses the connection."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "database-away"
    title = "The database is unavailable"
    retry_after = 5

    def __init__(
        self,
        detail: str = "Postgres does not respond. Try again later. /voucher without `run` and /segments still work, "
        "from memory.",
    ) -> None:
        super().__init__(detail)


def options(address: Address) -> dict[str, Any]:
    """Return the engine options that connect to the address."""
    return {
        "creator": lambda: postgres.connect(
            address, connect_timeout=2, tcp_user_timeout=2000, application_name="voucher-api"
        ),
        "pool_pre_ping": True,  # replaces connections that Postgres has closed
    }


def engine(address: Address, **others: Any) -> Engine:
    """Return an engine that applies SETTINGS in each transaction."""
    return prepared(create_engine(URL, **options(address), **others), address)


def prepared(engine: Engine, address: Address) -> Engine:
    """Make an engine apply SETTINGS at the beginning of each transaction, and return it."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        connection.exec_driver_sql(postgres.settings(address, driver, SETTINGS))

    return engine
