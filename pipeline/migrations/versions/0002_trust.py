"""What makes runs trustworthy: what they were compared with, why they were published, and a guard over the published
run's rows.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE voucher.part ADD COLUMN synthetic boolean NOT NULL DEFAULT false;
        COMMENT ON COLUMN voucher.part.synthetic IS 'whether it is the built-in sample';
        ALTER TABLE voucher.audit_outcome ADD COLUMN compared_with text;
        COMMENT ON COLUMN voucher.audit_outcome.compared_with IS 'the run that was published at the time of the audit';
        ALTER TABLE voucher.publication ADD COLUMN action text NOT NULL DEFAULT 'publish'
            CHECK (action IN ('publish', 'force', 'rollback'));
        COMMENT ON COLUMN voucher.rule_outcome.example IS 'a row that the rule matched, as it stands in the source';
    """)
    op.execute("""
        CREATE OR REPLACE FUNCTION voucher.drop_partition(run text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF run !~ '^[0-9a-f]{16}$' THEN
                RAISE EXCEPTION 'not a run id: %', run;
            END IF;
            IF EXISTS (SELECT FROM voucher.current_run JOIN voucher.run_part USING (run_id) WHERE loaded_by = run) THEN
                RAISE EXCEPTION 'the published run needs the rows of run %', run;
            END IF;
            EXECUTE format('DROP TABLE IF EXISTS voucher.%I', 'assignment_' || run);
        END $$;
    """)


def downgrade() -> None:
    op.execute("""
        CREATE OR REPLACE FUNCTION voucher.drop_partition(run text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF run !~ '^[0-9a-f]{16}$' THEN
                RAISE EXCEPTION 'not a run id: %', run;
            END IF;
            EXECUTE format('DROP TABLE IF EXISTS voucher.%I', 'assignment_' || run);
        END $$;
        ALTER TABLE voucher.part DROP COLUMN synthetic;
        ALTER TABLE voucher.audit_outcome DROP COLUMN compared_with;
        ALTER TABLE voucher.publication DROP COLUMN action;
        COMMENT ON COLUMN voucher.rule_outcome.example IS 'a value that could not be read, for the built-in reasons';
    """)
