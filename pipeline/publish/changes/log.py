"""Log what a publication changes, with a link to the page. Called by `run.py`, the DAG and the command `plan`."""

import logging

from pipeline.publish.changes.models import Changes
from pipeline.publish.changes.text import answers, text

log = logging.getLogger("pipeline")

MAX_ANSWERS = 20  # in the log of a publication; the page has all of them


def log_plan(changes: Changes, page_url: str) -> None:
    """Log all that publishing would change, a line each. page_url: of the page, '' for no link."""
    for line in text(changes).splitlines():
        log.info("%s", line)
    _log_link(changes, page_url)


def log_publication(changes: Changes, page_url: str) -> None:
    """Log how many answers differ and the first of them, a line each. page_url: of the page, '' for no link."""
    log.info("publish: %s", changes.summary)
    differing = [each for each in changes.answers if each.differs]
    if differing:
        for line in answers(differing[:MAX_ANSWERS]).splitlines():
            log.info("publish:   %s", line.rstrip())
    if len(differing) > MAX_ANSWERS:
        log.info("publish:   and %s more", f"{len(differing) - MAX_ANSWERS:,}")
    _log_link(changes, page_url)


def link(run_id: str, page_url: str) -> str:
    """Return the address of the page that compares a run with the one before it; '' without the page's."""
    return f"{page_url}/history/{run_id}" if page_url else ""


def _log_link(changes: Changes, page_url: str) -> None:
    if address := link(changes.planned.run_id, page_url):
        log.info("on the page: %s", address)
