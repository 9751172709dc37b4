"""Alembic migrations of the schema `voucher`, and how they are run. Called by the command line, `dev` and the tests."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline import PipelineError

LOCK = 0x766F7563686572  # "voucher": two migrations at once wait for each other


class MigrationError(PipelineError):
    """The database can't be reached, or refuses."""


def migrate(database_url: str) -> None:
    """Bring the database at `database_url` (the owner's, in libpq's form) to the newest schema version.

    Raises MigrationError when the database can't be reached or refuses.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    try:
        engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg2"))
    except ArgumentError:
        raise MigrationError("DATABASE_URL is not postgresql://user:password@host:port/database") from None
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()[0]
        raise MigrationError(f"Postgres does not answer ({said}); check DATABASE_URL and that it runs") from error
    finally:
        engine.dispose()
