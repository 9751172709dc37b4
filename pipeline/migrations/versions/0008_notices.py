"""Notices that are to be sent, and a comment for each table and column: docs/tables.md is made from them."""

from alembic import op

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

COMMENTS = {
    "alembic_version": {"": "the version of these tables", "version_num": "the newest migration"},
    "notice": {
        "": "what was published, rolled back, refused or waits for approval, and whether its receiver was told",
        "notice_id": "the same in each attempt to send it",
        "at": "when it happened",
        "event": "published, rolled_back, refused or waiting (for approval)",
        "run_id": "the run that it happened to",
        "previous_run_id": "the run that was published before, or still is; NULL: none",
        "actor": "who did it; NULL: the audits",
        "reason": "the reason given, or which audits failed",
        "attempts": "how often it was sent",
        "sent_at": "when its receiver had it; NULL: it is still due, or nobody is to be told",
        "error": "why the last attempt failed",
    },
    "run": {
        "": "each result for one state of the history, the rules and the segments",
        "run_id": "16 hexadecimal digits, made from the parts' SHA-256, rules, segments and today",
        "source": "where the history was found, without secrets",
        "rules_hash": "identifies the rules",
        "segments_hash": "identifies the segments",
        "today": "the day that recency counts to (TODAY); NULL: each row's own day",
        "rows_in": "rows of the history; NULL until the run is loaded",
        "rows_kept": "rows that no rule dropped; NULL until the run is loaded",
        "data_from": "oldest timestamp of the kept rows",
        "data_to": "newest timestamp of the kept rows",
        "started_at": "when it was planned first, or again after a rejection",
        "finished_at": "when its load ended; NULL: it is not loaded",
        "status": "loading (planned, if it has a finished_at), rejected, published or withdrawn",
    },
    "part": {
        "": "each file of a history, in each of its versions",
        "part_id": "a number",
        "uri": "its address, without secrets",
        "etag": "the version that its server names; empty if it names none",
        "size": "in bytes",
        "sha256": "of its bytes, hexadecimal",
    },
    "run_part": {
        "": "the parts of each run",
        "run_id": "the run",
        "part_id": "the part",
        "loaded_by": "the run that wrote its cleaned rows, by the same rules",
    },
    "loaded_part": {
        "loaded_by": "the run that read it",
        "part_id": "the part",
        "rows_kept": "rows that no rule dropped",
    },
    "unloaded_part": {"run_id": "the run", "part_id": "the part"},
    "assignment": {
        "": "the cleaned rows of the runs that are kept; a run has those of its run_part",
        "part_id": "the part that the row is from",
        "loaded_by": "the run that wrote it; one partition each",
        "timestamp": "when the voucher was sent, UTC",
        "country_code": "the country as the history writes it",
        "first_order_ts": "the customer's first order, UTC",
        "last_order_ts": "the customer's last order, UTC",
        "total_orders": "the customer's number of orders",
        "voucher_amount": "in the history's own unit",
    },
    "rule": {
        "": "the cleaning rules of each run",
        "run_id": "the run",
        "position": "the order: a row counts for the first rule that drops it",
        "name": "of the rule",
        "because": "the analyst's reason",
        "share_low": "least share of all rows that the analyst expects it to match, 0 to 1",
        "share_high": "largest such share; outside the band, the run is not published",
    },
    "rule_outcome": {
        "": "how many rows each rule matched and dropped in each country",
        "run_id": "the run",
        "rule": "its name",
        "matched": "rows for which its condition is true",
        "dropped": "rows for which it is the first such rule",
    },
    "unplaced": {
        "": "kept rows whose measure falls in no segment of a kind",
        "run_id": "the run",
        "country_code": "the country",
        "segment_name": "the kind",
        "rows": "how many",
    },
    "kind": {
        "run_id": "the run",
        "position": "the order",
        "segment_name": "of the kind, as in a request",
    },
    "segment": {
        "": "the answers: each segment of each country, with its amount and the evidence",
        "run_id": "the run",
        "country_code": "the country",
        "segment_name": "the kind",
        "segment": "the label",
        "position": "the order within the kind",
        "measure": "what the bounds count",
        "lower_bound": "inclusive",
        "voucher_amount": "the answer, in the history's own unit",
        "uses": "votes for it",
        "rows": "votes in the segment",
        "runner_up_amount": "the amount with the next most votes; NULL: there is none",
        "runner_up_uses": "votes for it",
        "tied": "whether both have equally many votes; the smaller amount is the answer",
    },
    "segment_vote": {
        "": "all votes: how many kept rows of a segment have each amount",
        "run_id": "the run",
        "country_code": "the country",
        "segment_name": "the kind",
        "segment": "the label",
        "voucher_amount": "the amount",
        "uses": "kept rows with it",
    },
    "effect": {
        "run_id": "the run",
        "country_code": "the country",
        "segment_name": "the kind",
        "segment": "the label",
        "voucher_amount": "the amount",
        "share_low": "of the 95 % interval of share",
        "share_high": "of the 95 % interval of share",
        "difference": "of share to that of compared_with",
        "difference_low": "of its 95 % interval",
        "difference_high": "of its 95 % interval",
    },
    "policy": {
        "run_id": "the run",
        "country_code": "the country",
        "segment_name": "the kind",
        "policy": "its name",
        "clusters": "groups of rows that were decided together",
        "value": "the share that would be redeemed, 0 to 1",
        "value_low": "of its 95 % interval",
        "value_high": "of its 95 % interval",
        "cost": "a customer, in the unit of voucher_amount",
        "refused": "why there are no figures",
    },
    "draw": {
        "run_id": "the run",
        "country_code": "the country",
        "segment_name": "the kind",
        "segment": "the label",
        "position": "the order",
        "chosen_by": "who chooses the amount: the lottery, or the published answer",
        "voucher_amount": "the amount of a customer whose place is in the stretch",
        "salt": "hashed with the customer's id to find the place",
    },
    "audit_outcome": {
        "": "what each audit of a run found",
        "run_id": "the run",
        "audit": "its name",
        "severity": "fail keeps the run from being published, warn does not",
        "passed": "whether it found nothing",
        "expected": "in words",
        "seen": "in words, with examples",
    },
    "current_run": {
        "": "the one row that says which run is published",
        "one_row": "always true",
        "run_id": "the published run",
        "published_at": "when it was published",
        "checked_at": "when its source was last found to be this run's",
    },
    "publication": {
        "": "each change of the published run; append-only",
        "at": "when it happened",
        "run_id": "the run that is published since",
        "previous_run_id": "the run that was published before; NULL: none",
        "actor": "who did it",
        "reason": "the reason given",
        "action": "publish, force or rollback",
    },
}


def upgrade() -> None:
    op.execute(NOTICE)
    for statement in _comments(COMMENTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE voucher.notice")
    earlier = {table: dict.fromkeys(columns) for table, columns in COMMENTS.items() if table != "notice"}
    for statement in _comments(earlier):
        op.execute(statement)


def _comments(comments: dict[str, dict[str, str | None]]) -> list[str]:
    """Return a statement for each comment. The key "" is the table itself."""
    statements = []
    for table, columns in comments.items():
        for column, text in columns.items():
            kind = "COLUMN" if column else "TABLE"
            name = f'voucher.{table}."{column}"' if column else f"voucher.{table}"
            said = "NULL" if text is None else "'{}'".format(text.replace("'", "''"))
            statements.append(f"COMMENT ON {kind} {name} IS {said}")
    return statements
