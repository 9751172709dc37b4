"""How the service connects to Postgres. Called by create_app and `reader`."""

from http import HTTPStatus
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from app.errors import ApiError
from shared import postgres
from shared.postgres import Address

URL = "postgresql+psycopg2://"  # only the driver: the address goes to `postgres.connect`
# For each transaction, so that it works through a connection pooler that hands each to another server process.
SETTINGS = {
    "timezone": "UTC",  # elsewhere 9999-12-31 may lie in a year that Python lacks
    "datestyle": "ISO",
    "statement_timeout": "10s",
}


class DatabaseAwayError(ApiError):
    """Postgres does not answer, or refuses to."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "database-away"
    title = "The database is away"
    retry_after = 5

    def __init__(
        self,
        detail: str = "Postgres does not answer. /voucher and /segments answer from memory; for this, try again.",
    ) -> None:
        super().__init__(detail)


def options(address: Address) -> dict[str, Any]:
    """Return what an engine needs in order to connect to the address."""
    return {
        "creator": lambda: postgres.connect(
            address, connect_timeout=2, tcp_user_timeout=2000, application_name="voucher-api"
        ),
        "pool_pre_ping": True,  # a connection that died with Postgres is replaced, not used
    }


def engine(address: Address, **others: Any) -> Engine:
    """Return an engine whose transactions have our settings."""
    return prepared(create_engine(URL, **options(address), **others), address)


def prepared(engine: Engine, address: Address) -> Engine:
    """Let each transaction of the engine begin with our settings."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        connection.exec_driver_sql(postgres.settings(address, driver, SETTINGS))

    return engine
