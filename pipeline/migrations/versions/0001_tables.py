"""The tables of schema `voucher`, and the two functions that open and drop a run's partition of the cleaned rows."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE voucher.run (
    run_id         text PRIMARY KEY CHECK (run_id ~ '^[0-9a-f]{16}$'),
    source         text NOT NULL,
    rules_hash     text NOT NULL,
    segments_hash  text NOT NULL,
    today          date,
    rows_in        bigint,
    rows_kept      bigint,
    data_from      timestamptz,
    data_to        timestamptz,
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    status         text NOT NULL CHECK (status IN ('loading', 'rejected', 'published', 'withdrawn'))
);

CREATE TABLE voucher.part (
    part_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uri      text NOT NULL,
    etag     text NOT NULL,
    size     bigint NOT NULL,
    sha256   text NOT NULL,
    UNIQUE (uri, etag, size)
);

CREATE TABLE voucher.run_part (
    run_id     text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    part_id    bigint NOT NULL REFERENCES voucher.part,
    loaded_by  text NOT NULL,
    PRIMARY KEY (run_id, part_id)
);

CREATE TABLE voucher.assignment (
    part_id         bigint NOT NULL,
    loaded_by       text NOT NULL,
    timestamp       timestamptz,
    country_code    text NOT NULL,
    first_order_ts  timestamptz,
    last_order_ts   timestamptz,
    total_orders    integer,
    voucher_amount  numeric(12, 2)
) PARTITION BY LIST (loaded_by);

CREATE TABLE voucher.rule (
    run_id      text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    position    integer NOT NULL,
    name        text NOT NULL,
    drop_when   text,
    because     text NOT NULL,
    share_low   double precision NOT NULL,
    share_high  double precision NOT NULL,
    PRIMARY KEY (run_id, position),
    UNIQUE (run_id, name)
);
COMMENT ON COLUMN voucher.rule.drop_when IS 'NULL for the built-in reasons, which come before the notebook''s rules';

CREATE TABLE voucher.rule_outcome (
    run_id        text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code  text NOT NULL,
    rule          text NOT NULL,
    matched       bigint NOT NULL,
    dropped       bigint NOT NULL,
    example       text,
    PRIMARY KEY (run_id, country_code, rule)
);
COMMENT ON COLUMN voucher.rule_outcome.country_code IS 'empty for rows without a country';
COMMENT ON COLUMN voucher.rule_outcome.example IS 'a value that could not be read, for the built-in reasons';

CREATE TABLE voucher.unplaced (
    run_id        text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code  text NOT NULL,
    segment_name  text NOT NULL,
    rows          bigint NOT NULL,
    PRIMARY KEY (run_id, country_code, segment_name)
);

CREATE TABLE voucher.segment_vote (
    run_id          text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code    text NOT NULL,
    segment_name    text NOT NULL,
    segment         text NOT NULL,
    voucher_amount  numeric(12, 2) NOT NULL,
    uses            bigint NOT NULL,
    PRIMARY KEY (run_id, country_code, segment_name, segment, voucher_amount)
);

CREATE TABLE voucher.segment (
    run_id            text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code      text NOT NULL,
    segment_name      text NOT NULL,
    segment           text NOT NULL,
    position          integer NOT NULL,
    measure           text NOT NULL,
    lower_bound       integer NOT NULL,
    upper_bound       integer,
    voucher_amount    numeric(12, 2) NOT NULL,
    uses              bigint NOT NULL,
    rows              bigint NOT NULL,
    runner_up_amount  numeric(12, 2),
    runner_up_uses    bigint,
    basis             text NOT NULL CHECK (basis IN ('segment', 'country')),
    tied              boolean NOT NULL,
    PRIMARY KEY (run_id, country_code, segment_name, segment)
);
COMMENT ON COLUMN voucher.segment.upper_bound IS 'inclusive, as lower_bound is; NULL where the segment is open upwards';

CREATE TABLE voucher.audit_outcome (
    run_id    text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    audit     text NOT NULL,
    severity  text NOT NULL CHECK (severity IN ('fail', 'warn')),
    passed    boolean NOT NULL,
    expected  text NOT NULL,
    seen      text NOT NULL,
    PRIMARY KEY (run_id, audit)
);

CREATE TABLE voucher.current_run (
    one_row       boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    run_id        text NOT NULL REFERENCES voucher.run,
    published_at  timestamptz NOT NULL,
    checked_at    timestamptz NOT NULL
);

CREATE TABLE voucher.publication (
    at               timestamptz NOT NULL DEFAULT clock_timestamp() PRIMARY KEY,
    run_id           text NOT NULL REFERENCES voucher.run,
    previous_run_id  text,
    actor            text NOT NULL,
    reason           text
);
"""

# Only a table's owner may open or drop its partitions, so the pipeline's role does it through these two.
PARTITION_FUNCTIONS = """
CREATE FUNCTION voucher.open_partition(run text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF run !~ '^[0-9a-f]{16}$' THEN
        RAISE EXCEPTION 'not a run id: %', run;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(run, 0));  -- two at once would collide, IF NOT EXISTS or not
    EXECUTE format('CREATE TABLE IF NOT EXISTS voucher.%I PARTITION OF voucher.assignment FOR VALUES IN (%L)',
                   'assignment_' || run, run);
END $$;

CREATE FUNCTION voucher.drop_partition(run text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF run !~ '^[0-9a-f]{16}$' THEN
        RAISE EXCEPTION 'not a run id: %', run;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS voucher.%I', 'assignment_' || run);
END $$;

REVOKE EXECUTE ON FUNCTION voucher.open_partition(text), voucher.drop_partition(text) FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(PARTITION_FUNCTIONS)


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION voucher.open_partition(text);
        DROP FUNCTION voucher.drop_partition(text);
        DROP TABLE voucher.publication, voucher.current_run, voucher.audit_outcome, voucher.segment,
            voucher.segment_vote, voucher.unplaced, voucher.rule_outcome, voucher.rule, voucher.assignment,
            voucher.run_part, voucher.part, voucher.run;
    """)
