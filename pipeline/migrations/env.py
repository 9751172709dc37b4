"""Alembic's entry point. `python -m pipeline migrate` calls it, with a connection in the configuration's attributes."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
# CREATE SCHEMA IF NOT EXISTS asks for CREATE on the database even where an administrator has made the schema.
if not connection.scalar(text("SELECT to_regnamespace('voucher') IS NOT NULL")):
    connection.execute(text("CREATE SCHEMA voucher"))
context.configure(connection=connection, version_table_schema="voucher", transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
