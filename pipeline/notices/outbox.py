"""Send the notices that are due. Called by `run.py` and the command line after each step that may leave one.

The transaction that publishes, rolls back or refuses a run also writes its notice (`publication`), so none is lost if
the process is killed at any point. A notice stays due until its receiver has answered; the next step or run sends it
then, with the same id. Two processes don't send the same notice at once.
"""

import logging
from collections.abc import Iterator
from typing import Any

from pipeline import PipelineError
from pipeline.notices.content import Notice
from pipeline.notices.delivery import send
from pipeline.publish.changes.compare import changes
from pipeline.publish.database import Database
from pipeline.receiver import Receiver

log = logging.getLogger("pipeline")

# After three days, a notice that could not be sent is given up: it would no longer be news.
DUE = """SELECT notice_id, at, event, run_id, previous_run_id, actor, reason FROM voucher.notice
    WHERE sent_at IS NULL AND at > now() - interval '3 days' AND notice_id <> ALL(%s)
    ORDER BY at, notice_id LIMIT 1 FOR UPDATE SKIP LOCKED"""


def deliver(database: Database, receiver: Receiver | None, page_url: str = "") -> None:
    """Send each notice that is due. What goes wrong is logged and on record, and never raised.

    page_url: of the page, for a link; "" for none.
    """
    if receiver is None:
        return
    try:
        for notice, error in _attempts(database, receiver, page_url):
            if error:
                log.warning("notices: %s did not take %s: %s; a later step sends it", receiver.name, notice, error)
            else:
                log.info("notices: %s got %s", receiver.name, notice)
    except PipelineError as error:
        log.warning("notices: %s; a later step sends what is due", error)


def _attempts(database: Database, receiver: Receiver, page_url: str) -> Iterator[tuple[str, str | None]]:
    """Try each notice once, the oldest first, until the receiver can't be reached. Yield what it is, and the error."""
    tried: list[str] = []
    while True:
        with database.transaction() as cursor:
            cursor.execute(DUE, (tried,))
            due = cursor.fetchone()
            if not due:
                return
            tried.append(due.notice_id)
            answer = send(receiver, _notice(database, due, page_url))
            _record(cursor, due.notice_id, answer.error)
        yield f"{due.event} of run {due.run_id}", answer.error
        if not answer.reached:
            return


def _notice(database: Database, due: Any, page_url: str) -> Notice:
    found = changes(database, due.run_id, due.previous_run_id)
    return Notice.of(due, found, page_url)


def _record(cursor: Any, notice_id: str, error: str | None) -> None:
    cursor.execute(
        """UPDATE voucher.notice SET attempts = attempts + 1, error = %(error)s,
            sent_at = CASE WHEN %(error)s IS NULL THEN clock_timestamp() END WHERE notice_id = %(notice_id)s""",
        {"notice_id": notice_id, "error": error},
    )
