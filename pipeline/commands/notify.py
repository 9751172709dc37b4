"""`python -m pipeline notify`: send the notices that are due, or a test notice."""

import logging
import os

from pipeline import PipelineError
from pipeline.notices.content import TestNotice
from pipeline.notices.delivery import send
from pipeline.notices.outbox import count_due, send_due
from pipeline.publish.database import Database
from pipeline.receiver import URL, Receiver
from pipeline.settings import SettingsError, database_url, page_url, receiver

log = logging.getLogger("pipeline")


class NotSent(PipelineError):
    """The receiver did not accept a notice."""

    retryable = True


def notify() -> None:
    """Send the notices that are due. Raises NotSent if the receiver did not accept one of them."""
    database, to = Database(database_url(os.environ)), _receiver()
    sent, failed = send_due(database, to, page_url(os.environ))
    left = f"notices still due: {due:,}" if (due := count_due(database)) else ""
    if failed:
        refused = f"{to.name} did not accept {failed:,} of {sent + failed:,} that were sent"
        raise NotSent(f"{left}; {refused}, see above; try again with `notify`")
    if left:
        log.info("%s; try again with `notify`", left)
    elif not sent:
        log.info("no notice is due")


def test(actor: str) -> None:
    """Send a notice that nothing happened to. It is not recorded, and needs no database. Raises NotSent."""
    to = _receiver()
    if error := send(to, TestNotice.by(actor, page_url(os.environ))).error:
        raise NotSent(f"{to.name} did not accept a test notice in the form {to.form!r}: {error}")
    signed = " It is signed." if to.key and to.form == "webhook" else ""
    log.info("%s accepted a test notice in the form %r.%s", to.name, to.form, signed)


def _receiver() -> Receiver:
    if found := receiver(os.environ):
        return found
    raise SettingsError(f"{URL} is not set, so nobody gets notices; docs/notices.md says how to set it")
