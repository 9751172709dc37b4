"""What each part of a run gave: so that a later run need not read it again, nor a run that was cut off."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE voucher.part ADD COLUMN rows bigint;
        COMMENT ON COLUMN voucher.part.rows IS 'NULL where an earlier version did not count them';
        ALTER TABLE voucher.run ADD COLUMN rows_uri text;
        COMMENT ON COLUMN voucher.run.rows_uri IS 'where the cleaned rows lie as Parquet; NULL: in assignment';

        CREATE TABLE voucher.loaded_part (
            loaded_by  text NOT NULL REFERENCES voucher.run,
            part_id    bigint NOT NULL REFERENCES voucher.part,
            rows_kept  bigint NOT NULL,
            rows_uri   text,
            tally      bytea NOT NULL,
            PRIMARY KEY (loaded_by, part_id)
        );
        COMMENT ON TABLE voucher.loaded_part IS 'written in the transaction that writes the part''s cleaned rows';
        COMMENT ON COLUMN voucher.loaded_part.rows_uri IS 'the Parquet file of its cleaned rows; NULL: in assignment';
        COMMENT ON COLUMN voucher.loaded_part.tally IS 'how many rows had each outcome, as Parquet';

        CREATE VIEW voucher.unloaded_part AS
            SELECT run_part.run_id, part_id
            FROM voucher.run_part LEFT JOIN voucher.loaded_part USING (loaded_by, part_id)
            WHERE loaded_part.part_id IS NULL
                OR (rows_uri IS NULL AND to_regclass('voucher.assignment_' || loaded_by) IS NULL);
        COMMENT ON VIEW voucher.unloaded_part IS 'the parts of a run whose cleaned rows are not there';

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
            DELETE FROM voucher.loaded_part WHERE loaded_by = run;
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
            IF EXISTS (SELECT FROM voucher.current_run JOIN voucher.run_part USING (run_id) WHERE loaded_by = run) THEN
                RAISE EXCEPTION 'the published run needs the rows of run %', run;
            END IF;
            EXECUTE format('DROP TABLE IF EXISTS voucher.%I', 'assignment_' || run);
        END $$;
        DROP VIEW voucher.unloaded_part;
        DROP TABLE voucher.loaded_part;
        ALTER TABLE voucher.run DROP COLUMN rows_uri;
        ALTER TABLE voucher.part DROP COLUMN rows;
    """)
