"""The segment kinds of a run, with names for people, and the request field that each needs."""

from alembic import op

revision = "0007"
down_revision = "0006"

# Runs of earlier versions measure orders, or days since the last order; their kinds have no order of their own.
UPGRADE = """
CREATE TABLE voucher.kind (
    run_id          text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    position        integer NOT NULL,
    segment_name    text NOT NULL,
    measure         text NOT NULL,
    field           text NOT NULL,
    unit            text NOT NULL,
    title           text NOT NULL,
    because         text NOT NULL,
    choose          text NOT NULL,
    segment_titles  jsonb NOT NULL,
    PRIMARY KEY (run_id, segment_name)
);
COMMENT ON TABLE voucher.kind IS 'the segment kinds of each run, and the request field that each needs';
COMMENT ON COLUMN voucher.kind.measure IS 'a whole-number column, or the days since an order time';
COMMENT ON COLUMN voucher.kind.field IS 'the column, and the field of a request, that the measure is computed from';
COMMENT ON COLUMN voucher.kind.unit IS 'of the measure, plural';
COMMENT ON COLUMN voucher.kind.title IS 'a name for people';
COMMENT ON COLUMN voucher.kind.because IS 'the analyst''s reason; empty if none was given';
COMMENT ON COLUMN voucher.kind.choose IS 'how amounts are found: most_used, cheapest_effect or best_effect';
COMMENT ON COLUMN voucher.kind.segment_titles IS 'names for people, by the label of the segment';

INSERT INTO voucher.kind
SELECT run_id, row_number() OVER (PARTITION BY run_id ORDER BY segment_name) - 1, segment_name, measure,
    CASE measure WHEN 'days_since_last_order' THEN 'last_order_ts' ELSE measure END,
    CASE measure WHEN 'days_since_last_order' THEN 'days' ELSE 'orders' END,
    CASE measure WHEN 'days_since_last_order' THEN 'Days since the last order' ELSE 'Number of orders' END,
    '', 'most_used', '{}'
FROM (SELECT DISTINCT run_id, segment_name, measure FROM voucher.segment) AS used;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE voucher.kind")
