"""What vouchers did, what policies are worth, and the lottery that makes both known."""

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = """
CREATE TABLE voucher.effect (
    run_id           text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code     text NOT NULL,
    segment_name     text NOT NULL,
    segment          text NOT NULL,
    voucher_amount   numeric(12, 2) NOT NULL,
    known            bigint NOT NULL,
    clusters         bigint NOT NULL,
    evidence         text NOT NULL CHECK (evidence IN ('effect', 'association')),
    share            double precision,
    share_low        double precision,
    share_high       double precision,
    cost             double precision,
    compared_with    numeric(12, 2),
    difference       double precision,
    difference_low   double precision,
    difference_high  double precision,
    further_cost     double precision,
    refused          text,
    PRIMARY KEY (run_id, country_code, segment_name, segment, voucher_amount)
);
COMMENT ON TABLE voucher.effect IS 'what each amount did in each segment, as far as outcomes are known';
COMMENT ON COLUMN voucher.effect.known IS 'rows whose outcome is known';
COMMENT ON COLUMN voucher.effect.clusters IS 'groups of rows that were decided together; by default the UTC days';
COMMENT ON COLUMN voucher.effect.evidence IS 'effect: all propensities of the segment are known; association: not all';
COMMENT ON COLUMN voucher.effect.share IS 'redeemed; each of the shares from 0 to 1';
COMMENT ON COLUMN voucher.effect.cost IS 'a customer, in the unit of voucher_amount: only redeemed vouchers cost';
COMMENT ON COLUMN voucher.effect.compared_with IS 'the smallest amount of the segment that has a share';
COMMENT ON COLUMN voucher.effect.further_cost IS
    'of one further redemption against compared_with; null for an association, or if the difference may be 0';
COMMENT ON COLUMN voucher.effect.refused IS 'why there are no figures';

CREATE TABLE voucher.policy (
    run_id        text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code  text NOT NULL,
    segment_name  text NOT NULL,
    policy        text NOT NULL CHECK (policy IN ('most used', 'best by outcome', 'uniform')),
    known         bigint NOT NULL,
    clusters      bigint NOT NULL,
    value         double precision,
    value_low     double precision,
    value_high    double precision,
    cost          double precision,
    refused       text,
    PRIMARY KEY (run_id, country_code, segment_name, policy)
);
COMMENT ON TABLE voucher.policy IS 'what a way to choose amounts is worth: the share that would be redeemed';
COMMENT ON COLUMN voucher.policy.known IS 'rows whose outcome is known and whose amount the policy gives';

CREATE TABLE voucher.draw (
    run_id          text NOT NULL REFERENCES voucher.run ON DELETE CASCADE,
    country_code    text NOT NULL,
    segment_name    text NOT NULL,
    segment         text NOT NULL,
    position        integer NOT NULL,
    chosen_by       text NOT NULL CHECK (chosen_by IN ('holdout', 'lottery', 'table')),
    voucher_amount  numeric(12, 2) NOT NULL,
    tickets         bigint NOT NULL CHECK (tickets > 0),
    salt            text NOT NULL,
    PRIMARY KEY (run_id, country_code, segment_name, segment, position)
);
COMMENT ON TABLE voucher.draw IS 'the stretches of a customer''s place in [0, 1), in order, and the amount of each';
COMMENT ON COLUMN voucher.draw.tickets IS 'the length of the stretch; all tickets of a segment together are 1';
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("""
        ALTER TABLE voucher.segment DROP CONSTRAINT segment_basis_check;
        ALTER TABLE voucher.segment ADD CONSTRAINT segment_basis_check
            CHECK (basis IN ('segment', 'country', 'effect'));
        COMMENT ON COLUMN voucher.segment.basis IS
            'segment: its most used amount; country: the country''s; effect: chosen by what vouchers did';
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE voucher.draw, voucher.policy, voucher.effect;
        ALTER TABLE voucher.segment DROP CONSTRAINT segment_basis_check;
        ALTER TABLE voucher.segment ADD CONSTRAINT segment_basis_check
            CHECK (basis IN ('segment', 'country')) NOT VALID;
    """)
