"""The main flow: plan, load, audit, publish, prune. The DAG's tasks call these steps, `python -m pipeline run` all of
them in order.

Each step is idempotent and may be interrupted at any point: what readers see changes in one transaction of `publish`,
and never to an earlier state of the source. One step at a time changes the tables; others wait.
"""

import logging
from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from time import monotonic

from pipeline import PipelineError
from pipeline.audits.runner import audit_run
from pipeline.load import row_files, steps, tables
from pipeline.notices import outbox
from pipeline.publish import guard, pruning, publication, runs
from pipeline.publish.changes.compare import changes
from pipeline.publish.changes.log import log_publication
from pipeline.publish.changes.models import Changes
from pipeline.publish.database import Database
from pipeline.publish.guard import Outcome
from pipeline.publish.news import News, find_news
from pipeline.publish.publication import Approval
from pipeline.publish.runs import Run
from pipeline.rules.rulebook import RULES_FILE, RuleBook
from pipeline.rules.segments import SEGMENTS_FILE, SegmentBook
from pipeline.settings import Settings
from pipeline.source.parts import Part, contains, describe, find_parts, warn_of_duplicates
from pipeline.source.s3 import SourceError
from shared.addresses import redact

log = logging.getLogger("pipeline")


def plan(settings: Settings) -> str:
    """Find and inspect the parts, record the run, and return its run_id. The same input gives the same run_id."""
    notify(settings)  # of what an earlier process could not tell any more
    rules, segments = RuleBook.load(RULES_FILE), SegmentBook.load(SEGMENTS_FILE)
    database, named = Database(settings.database_url), redact(settings.source)
    if settings.rows and contains(settings.source, row_files.address(settings.rows, "", 1)):
        raise SourceError(
            f"VOUCHER_ROWS, {redact(settings.rows)}, is within VOUCHER_SOURCE, {named}: the next run would read "
            "cleaned rows as history. Set it to another prefix"
        )
    looked_at = runs.database_time(database)
    found = _find_parts(settings)
    parts = runs.known_parts(database, found)
    known = {part.uri for part in parts}
    parts += steps.inspect_parts(settings, [part for part in found if part.uri not in known])
    if not any(part.rows for part in parts):
        raise SourceError(f"{named} has no rows; set VOUCHER_SOURCE to a history with rows")
    warn_of_duplicates(parts)
    run_id = _identity([part.sha256 for part in parts], rules, segments, settings.today)
    planned = Run(run_id, named, rules.hash, segments.hash, settings.today)
    with database.exclusive() as database:
        status = runs.plan(database, planned, parts, rules.all_rules, segments.kinds, looked_at=looked_at)
    log.info("plan: run %s (%s) of %s", run_id, status, named)
    log.info("plan: %s", describe(parts, len(parts) - len(known)))
    return run_id


def load(settings: Settings, run_id: str, force: str | None = None) -> None:
    """Clean the run's parts and write rows, counts, votes and segments under its run_id, if that isn't done yet."""
    with Database(settings.database_url).exclusive() as database:
        if runs.is_loaded(database, run_id):
            log.info("load: run %s is loaded already", run_id)
        elif not guard.blocked(database, run_id, force):
            _load(settings, database, run_id)


def audit(settings: Settings, run_id: str, force: str | None = None, *, announce: bool = True) -> None:
    """Check the loaded run against its rules' bands, its own tables and the published run.

    announce: whether a refusal is worth a notice, as it is unless a person only plans. Raises RunRejected if an audit
    fails, unless `force` is the reason to publish all the same.
    """
    try:
        with Database(settings.database_url).exclusive() as database:
            if publication.current(database) == run_id:
                log.info("audit: run %s is published already", run_id)
            elif not guard.blocked(database, run_id, force):
                _load(settings, database, run_id)
                audit_run(database, run_id, force, announce=announce)
    finally:
        notify(settings)


def publish(
    settings: Settings, run_id: str, actor: str, force: str | None = None, approval: Approval | None = None
) -> Outcome:
    """Make the run visible to readers. If it is already, only record when its source was checked.

    `force` is the reason to publish a run that failed an audit, was rolled back or is superseded. `approval`: the only
    replacement that is allowed; None allows any. Raises NotApproved for another one.
    """
    try:
        with Database(settings.database_url).exclusive() as database:
            if blocked := guard.blocked(database, run_id, force):
                return blocked
            return _publish(settings, database, run_id, actor, force=force, approval=approval)
    finally:
        notify(settings)


def news(settings: Settings, run_id: str) -> News | None:
    """Return what the run's publication changed, if it is the published one and was not before its last plan."""
    return find_news(Database(settings.database_url), run_id)


def notify(settings: Settings) -> None:
    """Send the notices that are due. What goes wrong is logged, and never raised."""
    outbox.deliver(Database(settings.database_url), settings.receiver, settings.page_url)


def blocked(settings: Settings, run_id: str) -> Outcome | None:
    """Return why the run must not be published without force, or None if it may be."""
    return guard.blocked(Database(settings.database_url), run_id, None)


def is_superseded(settings: Settings, run_id: str) -> bool:
    """Return whether the published run's source was listed later than this run's, or a person published it since."""
    return publication.superseding(Database(settings.database_url), run_id) is not None


def prune(settings: Settings) -> None:
    """Delete cleaned rows that no kept run needs."""
    with Database(settings.database_url).exclusive() as database:
        dropped = pruning.prune(database, settings.keep_runs)
        if settings.rows:
            dropped = sorted({*dropped, *tables.delete_unused_rows(database, settings.rows)})
        for run_id in dropped:
            log.info("prune: deleted the rows of run %s", run_id)


def preview(settings: Settings, run_id: str, blocked: Outcome | None = None) -> Changes:
    """Return what publishing the loaded run would change. blocked: why it must not be published without force."""
    database = Database(settings.database_url)
    return changes(database, run_id, publication.current(database), blocked)


def run(settings: Settings, actor: str, force: str | None = None) -> str:
    """Run all steps in order, log the result in the last line, and return the run_id."""
    began = monotonic()
    run_id = plan(settings)
    if not (outcome := guard.blocked(Database(settings.database_url), run_id, force)):
        load(settings, run_id, force)
        audit(settings, run_id, force)
        outcome = publish(settings, run_id, actor, force)
    prune(settings)
    log.info("run %s %s (%.1f s)", run_id, outcome, monotonic() - began)
    return run_id


def _publish(
    settings: Settings, database: Database, run_id: str, actor: str, *, force: str | None, approval: Approval | None
) -> Outcome:
    _load(settings, database, run_id)
    try:
        previous = publication.publish(database, run_id, actor, force, approval)
    except publication.Outdated:
        audit_run(database, run_id, force)
        previous = publication.publish(database, run_id, actor, force, approval)
    if previous == run_id:
        log.info("publish: run %s was published already", run_id)
        return Outcome.CHECKED
    log.info("publish: run %s takes over from %s", run_id, previous or "nothing")
    log_publication(changes(database, run_id, previous), settings.page_url)
    return Outcome.PUBLISHED


def _load(settings: Settings, database: Database, run_id: str) -> None:
    if runs.is_loaded(database, run_id):  # unless another run pruned it between two steps
        return
    rules, segments = RuleBook.load(RULES_FILE), SegmentBook.load(SEGMENTS_FILE)
    planned = runs.get(database, run_id)
    if (rules.hash, segments.hash) != (planned.rules_hash, planned.segments_hash):
        raise PipelineError(f"the rules or segments changed since run {run_id} was planned; run again")
    steps.load(settings, database, planned, rules, segments)


def _find_parts(settings: Settings) -> Sequence[Part]:
    listing = find_parts(settings.source, settings.anonymous)
    if listing.left_out:
        log.info("plan: %s", listing.left_out)
    if listing.warning:
        log.warning("plan: %s", listing.warning)
    return listing.parts


def _identity(digests: list[str], rules: RuleBook, segments: SegmentBook, today: date | None) -> str:
    made_of = [*sorted(digests), rules.hash, segments.hash, today.isoformat() if today else ""]
    return sha256("\n".join(made_of).encode()).hexdigest()[:16]
