"""The published run, according to the database. Used by `up` and `status`."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2

from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from shared import postgres
from shared.addresses import redact
from shared.environment import SettingsError

PUBLISHED = """SELECT run_id, source, (SELECT count(*) > 0 AND bool_and(synthetic) FROM voucher.run_part
        JOIN voucher.part USING (part_id) WHERE run_part.run_id = run.run_id)
    FROM voucher.current_run JOIN voucher.run USING (run_id)"""

# The run that was rolled back from last, by these rules and segments, while others are published.
WITHDRAWN = """SELECT run.run_id FROM voucher.run, voucher.current_run JOIN voucher.run AS now USING (run_id)
    WHERE run.status = 'withdrawn' AND (run.rules_hash, run.segments_hash) = (%(rules)s, %(segments)s)
        AND (now.rules_hash, now.segments_hash) <> (%(rules)s, %(segments)s)
    ORDER BY run.planned_at DESC LIMIT 1"""


@dataclass(frozen=True)
class Published:
    """`source` is for display; `sample` says whether all of it is the built-in sample."""

    run_id: str
    source: str
    sample: bool


def published(database_url: str) -> Published | None:
    """Return the published run; None if there is none, or the database does not answer."""
    found = _first(database_url, PUBLISHED)
    return Published(found[0], redact(found[1]), found[2]) if found else None


def rolled_back(database_url: str) -> str | None:
    """Return the run of this checkout's rules and segments if a rollback has replaced it by one of others."""
    found = _first(database_url, WITHDRAWN, rules=RuleBook.load().hash, segments=SegmentBook.load().hash)
    return found and str(found[0])


def _first(database_url: str, sql: str, **values: str) -> Any:
    """Return the first row; None if there is none, or the database does not answer."""
    try:
        with closing(postgres.connect(database_url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()
    except (psycopg2.Error, SettingsError):
        return None
