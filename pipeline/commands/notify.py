"""`python -m pipeline notify`: send the notices that are due, or a test notice."""

import logging
import os

from pipeline import PipelineError
from pipeline.notices.content import TestNotice
from pipeline.notices.delivery import send
from pipeline.notices.outbox import send_due
from pipeline.publish.database import Database
from pipeline.receiver import URL, Receiver
from pipeline.settings import SettingsError, database_url, page_url, receiver

log = logging.getLogger("pipeline")


class NotSent(PipelineError):
    """The receiver did not accept a notice."""

    retryable = True


def notify() -> None:
    """Send the notices that are due. Raises NotSent if the receiver did not accept one of them."""
    sent, failed = send_due(Database(database_url(os.environ)), _receiver(), page_url(os.environ))
    if failed:
        raise NotSent(f"{failed:,} of {sent + failed:,} notices were not accepted, see above; try again with `notify`")
    if not sent:
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
