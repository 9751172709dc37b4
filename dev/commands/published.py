"""The published run, according to the database. Used by `up` and `status`."""

from contextlib import closing
from dataclasses import dataclass

import psycopg2

from shared import postgres
from shared.addresses import redact
from shared.environment import SettingsError

PUBLISHED = """SELECT run_id, source, (SELECT count(*) > 0 AND bool_and(synthetic) FROM voucher.run_part
        JOIN voucher.part USING (part_id) WHERE run_part.run_id = run.run_id)
    FROM voucher.current_run JOIN voucher.run USING (run_id)"""


@dataclass(frozen=True)
class Published:
    """`source` is for display; `sample` says whether all of it is the built-in sample."""

    run_id: str
    source: str
    sample: bool


def published(database_url: str) -> Published | None:
    """Return the published run; None if there is none, or the database does not answer."""
    try:
        with closing(postgres.connect(database_url)) as connection, connection.cursor() as cursor:
            cursor.execute(PUBLISHED)
            found = cursor.fetchone()
    except (psycopg2.Error, SettingsError):
        return None
    return Published(found[0], redact(found[1]), found[2]) if found else None
