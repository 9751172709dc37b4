"""Send the notices that are due. Called by `run.py` and the command line after each step that may leave one.

The transaction that publishes, rolls back or refuses a run also writes its notice (`publication`), so none is lost if
the process is killed at any point. A notice stays due until its receiver has answered; the next step or run sends it
then, with the same id. Two processes don't send the same notice at once.
"""

import logging
from collections.abc import Iterator
from time import monotonic
from typing import Any, NamedTuple

from pipeline import PipelineError
from pipeline.notices.content import RunNotice
from pipeline.notices.delivery import send
from pipeline.publish.changes.compare import changes
from pipeline.publish.database import Database
from pipeline.receiver import Receiver

log = logging.getLogger("pipeline")

SECONDS = 30  # after which a call starts to send no further notice
# After three days, a notice that could not be sent is given up: it would no longer be news.
IS_DUE = "sent_at IS NULL AND notice.at > now() - interval '3 days'"
# The publication that a notice tells was recorded just before it, in the same transaction.
DUE = f"""SELECT notice_id, notice.at, event, run_id, previous_run_id, actor, action, reason,
        ARRAY(SELECT audit FROM voucher.audit_outcome AS outcome WHERE action = 'force'
            AND outcome.run_id = notice.run_id AND compared_with IS NOT DISTINCT FROM previous_run_id
            AND severity = 'fail' AND NOT passed ORDER BY audit) AS overridden_audits
    FROM voucher.notice LEFT JOIN LATERAL (SELECT action FROM voucher.publication
        WHERE event IN ('published', 'rolled_back') AND publication.run_id = notice.run_id
            AND publication.at <= notice.at ORDER BY publication.at DESC LIMIT 1) AS logged ON true
    WHERE {IS_DUE} AND notice_id <> ALL(%s)
    ORDER BY notice.at, notice_id LIMIT 1 FOR UPDATE OF notice SKIP LOCKED"""  # noqa: S608


class Tally(NamedTuple):
    """How many notices the receiver accepted, and how many it did not."""

    sent: int
    failed: int


def deliver(database: Database, receiver: Receiver | None, page_url: str = "") -> None:
    """Send each notice that is due. What goes wrong is logged and recorded, and never raised.

    A notice without a receiver stays due: a rollback in a shell without VOUCHER_NOTIFY_URL is told by the next run that
    has it. page_url: of the page, for a link; "" for none.
    """
    if receiver is None:
        return
    try:
        send_due(database, receiver, page_url)
    except PipelineError as error:
        log.warning("notices: %s; a later step sends those that are due", error)


def send_due(database: Database, receiver: Receiver, page_url: str = "") -> Tally:
    """Send each notice that is due, for about half a minute, and log each attempt. Raises DatabaseError."""
    sent = failed = 0
    for due, error in _attempts(database, receiver, page_url):
        named = (receiver.name, due.run_id, due.event)
        if error:
            failed += 1
            log.warning(
                "notices: %s did not accept the notice of run %s (%s): %s; a later step sends it", *named, error
            )
        else:
            sent += 1
            log.info("notices: %s accepted the notice of run %s (%s)", *named)
    return Tally(sent, failed)


def count_due(database: Database) -> int:
    """Return how many notices are due. Raises DatabaseError."""
    with database.transaction() as cursor:
        cursor.execute(f"SELECT count(*) AS due FROM voucher.notice WHERE {IS_DUE}")  # noqa: S608
        return int(cursor.fetchone().due)


def _attempts(database: Database, receiver: Receiver, page_url: str) -> Iterator[tuple[Any, str | None]]:
    """Try each notice, the oldest first, until the receiver is down. Yield its row, and the error."""
    tried: list[str] = []
    end = monotonic() + SECONDS
    while monotonic() < end:
        with database.transaction() as cursor:
            cursor.execute(DUE, (tried,))
            due = cursor.fetchone()
            if not due:
                return
            tried.append(due.notice_id)
            found = changes(database, due.run_id, due.previous_run_id)
            answer = send(receiver, RunNotice.of(due, found, page_url))
            _record(cursor, due.notice_id, answer.error)
        yield due, answer.error
        if answer.is_down:
            return


def _record(cursor: Any, notice_id: str, error: str | None) -> None:
    cursor.execute(
        """UPDATE voucher.notice SET attempts = attempts + 1, error = %(error)s,
            sent_at = CASE WHEN %(error)s IS NULL THEN clock_timestamp() END WHERE notice_id = %(notice_id)s""",
        {"notice_id": notice_id, "error": error},
    )
