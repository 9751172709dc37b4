"""Run the Alembic migrations of the schema `voucher`. Called by the command line, `dev` and the tests."""

from pathlib import Path

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from pipeline import PipelineError
from pipeline.migrations import roles
from shared import postgres, sqlstates
from shared.environment import SettingsError
from shared.postgres import Address

LOCK = 0x766F7563686572  # "voucher": two migrations at once wait for each other
# For the one transaction that a migration is; a limit of the owner's role must not end it.
SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


class MigrationError(PipelineError):
    """The database can't be reached, or refuses."""


def migrate(
    database_url: Address | str, pipeline_url: Address | str | None = None, api_url: Address | str | None = None
) -> None:
    """Upgrade the schema at `database_url` (the owner's address), and set passwords and privileges of the other two
    roles.

    Everything happens in one transaction. Raises MigrationError if the database can't be reached or refuses, RoleError
    if a role can't be used.
    """
    wanted = roles.named(pipeline_url, api_url)
    owner = _read(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg2://", creator=lambda: postgres.connect(owner))
    try:
        with engine.begin() as connection:
            driver = connection.connection.dbapi_connection
            connection.exec_driver_sql(postgres.settings(owner, driver, SETTINGS))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            roles.make(connection.connection.cursor(), wanted, owner)
    except (DBAPIError, psycopg2.Error) as error:
        refusal = _refusal(error, owner)
        for role in wanted:
            refusal = role.address.redacted(refusal)
        raise MigrationError(refusal) from None
    except CommandError as error:
        if "Can't locate revision" not in str(error):
            raise
        raise MigrationError(
            "the tables were migrated by a newer version of the software; use that version, or restore "
            "a backup from before"
        ) from None
    finally:
        engine.dispose()


def _read(database_url: Address | str) -> Address:
    try:
        return Address.read(database_url, "DATABASE_URL") if isinstance(database_url, str) else database_url
    except SettingsError as error:
        raise MigrationError(str(error)) from None


def _refusal(error: BaseException, owner: Address) -> str:
    """Return what happened, and what an administrator can do that the owner may not."""
    if sqlstates.classify(error).sqlstate != "42501":
        return sqlstates.explain(error, owner)
    said = sqlstates.detail(error, owner)
    if "permission denied for database" in said:
        return (
            "the role of DATABASE_URL may not make the schema; let an administrator run CREATE SCHEMA voucher "
            "AUTHORIZATION role, with that role and in that database, then migrate again"
        )
    return f"Postgres refused: {said}; DATABASE_URL must name the role that owns the tables"
