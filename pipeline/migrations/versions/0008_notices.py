"""Notices that are to be sent, and a comment for each table and column: docs/tables.md is made from them."""

from collections.abc import Iterator, Mapping

from alembic import op

from pipeline.migrations.comments_0008 import COMMENTS

revision = "0008"
down_revision = "0007"

NOTICE = """
CREATE TABLE voucher.notice (
    notice_id        text PRIMARY KEY DEFAULT 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    event            text NOT NULL CHECK (event IN ('published', 'rolled_back', 'refused', 'waiting')),
    run_id           text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    previous_run_id  text,
    actor            text,
    reason           text,
    attempts         integer NOT NULL DEFAULT 0,
    sent_at          timestamptz,
    error            text
);
CREATE INDEX notice_due ON voucher.notice (at) WHERE sent_at IS NULL;
"""


def upgrade() -> None:
    op.execute(NOTICE)
    for statement in _comments(COMMENTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE voucher.notice")
    earlier = {table: dict.fromkeys(columns) for table, columns in COMMENTS.items() if table != "notice"}
    for statement in _comments(earlier):
        op.execute(statement)


def _comments(comments: Mapping[str, Mapping[str, str | None]]) -> Iterator[str]:
    """Yield a statement for each comment. The key "" is the table itself."""
    for table, columns in comments.items():
        kind = "VIEW" if table == "unloaded_part" else "TABLE"
        for column, text in columns.items():
            named = f'COLUMN voucher.{table}."{column}"' if column else f"{kind} voucher.{table}"
            said = "NULL" if text is None else "'{}'".format(text.replace("'", "''"))
            yield f"COMMENT ON {named} IS {said}"
