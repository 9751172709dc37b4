"""What readers see moves forward only: when a run's source was last looked at, and as of when the published run is
the right one. Addresses on record lose what may be a secret.
"""

import sqlalchemy as sa
from alembic import op

from shared.addresses import redact

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE voucher.run ADD COLUMN planned_at timestamptz;
        UPDATE voucher.run SET planned_at = started_at;
        ALTER TABLE voucher.run ALTER COLUMN planned_at SET NOT NULL;
        COMMENT ON COLUMN voucher.run.planned_at IS
            'when its source was last looked at and found to be this run''s';

        ALTER TABLE voucher.current_run ADD COLUMN decided_at timestamptz;
        UPDATE voucher.current_run SET decided_at = published_at;
        ALTER TABLE voucher.current_run ALTER COLUMN decided_at SET NOT NULL;
        COMMENT ON COLUMN voucher.current_run.decided_at IS
            'as of when this run is the right one: its planned_at, or the time of a force or rollback';
    """)
    _hide_secrets()


def _hide_secrets() -> None:
    """A part whose address changes gets an ETag that no server gives: nobody can tell any more which file it was."""
    connection = op.get_bind()
    for table, key, column in (("run", "run_id", "source"), ("run", "run_id", "rows_uri"), ("part", "part_id", "uri")):
        found = connection.execute(sa.text(f"SELECT {key}, {column} FROM voucher.{table} WHERE {column} LIKE '%:/%'"))
        also = ", etag = 'sha256:' || sha256 || '#' || part_id" if table == "part" else ""
        change = sa.text(f"UPDATE voucher.{table} SET {column} = :redacted{also} WHERE {key} = :key")
        for identity, address in found.all():
            if redact(address) != address:
                connection.execute(change, {"redacted": redact(address), "key": identity})


def downgrade() -> None:
    op.execute("""
        ALTER TABLE voucher.current_run DROP COLUMN decided_at;
        ALTER TABLE voucher.run DROP COLUMN planned_at;
    """)
