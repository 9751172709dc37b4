"""Alembic migrations of the schema `voucher`, and how they are run. Called by the command line, `dev` and the tests."""

from pathlib import Path

import psycopg2
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline import PipelineError
from pipeline.migrations import roles

LOCK = 0x766F7563686572  # "voucher": two migrations at once wait for each other


class MigrationError(PipelineError):
    """The database can't be reached, or refuses."""


def migrate(database_url: str, pipeline_url: str | None = None, api_url: str | None = None) -> None:
    """Bring the database at `database_url` (the owner's, in libpq's form) to the newest schema version, and the roles
    of the other two URLs to their passwords and privileges; all of it or nothing.

    Raises MigrationError when the database can't be reached or refuses, RoleError when a role can't be used.
    """
    wanted = roles.named(pipeline_url, api_url)
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
            roles.make(connection.connection.cursor(), wanted)
    except (DBAPIError, psycopg2.Error) as error:
        refusal = error.orig if isinstance(error, DBAPIError) else error
        said = str(refusal).strip().splitlines()[0]
        if isinstance(refusal, psycopg2.OperationalError):
            raise MigrationError(f"Postgres does not answer ({said}); check DATABASE_URL and that it runs") from error
        raise MigrationError(f"Postgres refused: {said}; DATABASE_URL must name the tables' owner") from error
    finally:
        engine.dispose()
