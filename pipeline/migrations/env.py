"""Alembic's entry point; called by `python -m pipeline migrate` with a connection in the configuration's attributes."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS voucher"))
context.configure(connection=connection, version_table_schema="voucher", transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
