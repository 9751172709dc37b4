"""How sure an answer is: its number of sends, the 95 % interval of its share, and whether its lead is clear."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE voucher.segment
            ADD COLUMN sends integer,
            ADD COLUMN share_low double precision,
            ADD COLUMN share_high double precision,
            ADD COLUMN clear boolean;
        COMMENT ON COLUMN voucher.segment.sends IS
            'UTC days on which the segment had a voucher; null in runs of earlier versions';
        COMMENT ON COLUMN voucher.segment.share_low IS
            'of the 95 % interval of uses / rows, by send; null below 10 sends';
        COMMENT ON COLUMN voucher.segment.share_high IS
            'of the 95 % interval of uses / rows, by send; null below 10 sends';
        COMMENT ON COLUMN voucher.segment.clear IS
            'whether the lead over the runner-up is more than chance between sends explains; null below 10 sends';
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE voucher.segment
            DROP COLUMN sends, DROP COLUMN share_low, DROP COLUMN share_high, DROP COLUMN clear;
    """)
