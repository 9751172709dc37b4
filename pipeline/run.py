"""The main flow: plan, load, audit, publish, prune. The DAG's tasks call these steps; `python -m pipeline run` calls
them in order.

Each step may be repeated, late too, and may be cut off anywhere: what readers see moves in one transaction of
`publish`, and never back to what the source was earlier. One step at a time is at work on the tables; others wait.
"""

import logging
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from time import monotonic

from tabulate import tabulate

from pipeline import PipelineError, loading, publication, rows, source, store
from pipeline.audit import audit as audited
from pipeline.changes import changes
from pipeline.database import Database
from pipeline.rules import RULES_FILE, RuleBook
from pipeline.s3 import SourceError
from pipeline.segments import SEGMENTS_FILE, SegmentBook
from pipeline.settings import Settings
from shared.addresses import shown

log = logging.getLogger("pipeline")


class RunRejected(PipelineError):
    """The run failed an audit and is not published; what was published before still is."""


class Outcome(StrEnum):
    """What became of a run when it was to be published, as words that follow "run ID"."""

    PUBLISHED = "is published now"
    CHECKED = "was published already; its source has been checked"
    WITHDRAWN = "is not published, because it was rolled back from"
    SUPERSEDED = "is not published, because a newer one is"


def plan(settings: Settings) -> str:
    """Find the parts, identify them, and put the run on record; its run_id. The same input gives the same run_id."""
    rules, segments = RuleBook.load(RULES_FILE), SegmentBook.load(SEGMENTS_FILE)
    database, named = Database(settings.database_url), shown(settings.source)
    if settings.rows and source.takes_in(settings.source, rows.address(settings.rows, "", 1)):
        raise SourceError(
            f"VOUCHER_ROWS, {shown(settings.rows)}, is within VOUCHER_SOURCE, {named}: the next run would take "
            "cleaned rows for history. Set it to another prefix"
        )
    looked_at = store.now(database)
    found = _listed(settings)
    parts = store.recorded(database, found)
    known = {part.uri for part in parts}
    parts += loading.identify(settings, [part for part in found if part.uri not in known])
    if not any(part.rows for part in parts):
        raise SourceError(f"{named} has no rows; point VOUCHER_SOURCE at a history")
    _warn_of_twins(parts)
    run_id = _identity([part.sha256 for part in parts], rules, segments, settings.today)
    planned = store.Run(run_id, named, rules.hash, segments.hash, settings.today)
    with database.alone() as database:
        status = store.plan(database, planned, parts, rules.every, looked_at)
    log.info("plan: run %s (%s) of %s", run_id, status, named)
    log.info("plan: %s", _described(parts, len(parts) - len(known)))
    return run_id


def load(settings: Settings, run_id: str, force: str | None = None) -> None:
    """Clean the run's parts and write rows, counts, votes and segments under its run_id, unless all of it is there."""
    with Database(settings.database_url).alone() as database:
        if store.is_loaded(database, run_id):
            log.info("load: run %s is loaded already", run_id)
        elif not _stands_aside(database, run_id, force):
            _load(settings, database, run_id)


def audit(settings: Settings, run_id: str, force: str | None = None) -> None:
    """Check the loaded run against its rules' bands, its own tables and the published run.

    Raises RunRejected when it must not be published, unless `force` says why it is.
    """
    with Database(settings.database_url).alone() as database:
        if publication.current(database) == run_id:
            log.info("audit: run %s is published already", run_id)
        elif not _stands_aside(database, run_id, force):
            _load(settings, database, run_id)
            _audit(database, run_id, force)


def publish(settings: Settings, run_id: str, actor: str, force: str | None = None) -> Outcome:
    """Let readers see the run; when they do already, only note when its source was checked. Returns what became of it.

    `force` is the reason to publish a run that failed an audit, was rolled back or is superseded.
    """
    with Database(settings.database_url).alone() as database:
        if aside := _stands_aside(database, run_id, force):
            return aside
        _load(settings, database, run_id)
        try:
            previous = publication.publish(database, run_id, actor, force)
        except publication.Outdated:
            _audit(database, run_id, force)
            previous = publication.publish(database, run_id, actor, force)
        if previous == run_id:
            log.info("publish: run %s was published already", run_id)
            return Outcome.CHECKED
        log.info("publish: run %s takes over from %s", run_id, previous or "nothing")
        log.info("publish: %s", changes(database, run_id, previous).summary)
        return Outcome.PUBLISHED


def aside(settings: Settings, run_id: str) -> Outcome | None:
    """Say why the run is not to be published without force; None if it may be."""
    return _stands_aside(Database(settings.database_url), run_id, None)


def is_superseded(settings: Settings, run_id: str) -> bool:
    """Whether readers see a run whose source was looked at later than this one's, or that somebody chose since."""
    return publication.superseding(Database(settings.database_url), run_id) is not None


def prune(settings: Settings) -> None:
    """Drop cleaned rows that no kept run refers to."""
    with Database(settings.database_url).alone() as database:
        dropped = publication.prune(database, settings.keep_runs)
        if settings.rows:
            dropped = sorted({*dropped, *store.delete_unused_rows(database, settings.rows)})
        for run_id in dropped:
            log.info("prune: the rows of run %s are dropped", run_id)


def preview(settings: Settings, run_id: str) -> str:
    """What publishing the loaded run would change, as tables to read."""
    database = Database(settings.database_url)
    return str(changes(database, run_id, publication.current(database)))


def run(settings: Settings, actor: str, force: str | None = None) -> str:
    """All steps in order; the run's run_id. The last line that is logged says what became of it."""
    began = monotonic()
    run_id = plan(settings)
    if not (outcome := _stands_aside(Database(settings.database_url), run_id, force)):
        load(settings, run_id, force)
        audit(settings, run_id, force)
        outcome = publish(settings, run_id, actor, force)
    prune(settings)
    log.info("run %s %s (%.1f s)", run_id, outcome, monotonic() - began)
    return run_id


def _load(settings: Settings, database: Database, run_id: str) -> None:
    if store.is_loaded(database, run_id):  # always so, unless another run's prune came between two steps
        return
    rules, segments = RuleBook.load(RULES_FILE), SegmentBook.load(SEGMENTS_FILE)
    planned = store.run(database, run_id)
    if (rules.hash, segments.hash) != (planned.rules_hash, planned.segments_hash):
        raise PipelineError(f"the rules or segments changed since run {run_id} was planned; run again")
    loading.load(settings, database, planned, rules, segments)


def _audit(database: Database, run_id: str, force: str | None) -> None:
    published = publication.current(database)
    outcomes = audited(database, run_id, published)
    log.info("audit: run %s, compared with %s", run_id, published or "nothing")
    table = [[outcome.audit.name, outcome.word, outcome.seen.removeprefix("skipped: ")] for outcome in outcomes]
    for line in tabulate(table, ["audit", "outcome", "seen"], maxcolwidths=[None, None, 70]).splitlines():
        log.info("audit:   %s", line)
    for warned in (outcome for outcome in outcomes if outcome.word == "warned"):
        log.warning("audit: %s: expected: %s; seen: %s", warned.audit.name, warned.audit.expected, warned.seen)
    if not (failed := [outcome for outcome in outcomes if outcome.failed]):
        return
    if force:
        log.warning("audit: published all the same, by force: %s", force)
        return
    publication.reject(database, run_id)
    faults = "; ".join(f"{outcome.audit.name}: {outcome.seen}" for outcome in failed)
    ways_out = dict.fromkeys(outcome.audit.way_out for outcome in failed)
    for way_out in ways_out:
        log.info("audit: what to do: %s", way_out)
    raise RunRejected(f"run {run_id} is not published: {faults}. {'. '.join(ways_out)}")


def _stands_aside(database: Database, run_id: str, force: str | None) -> Outcome | None:
    """Say why the run is not to be published, if it isn't: a person's decision, or a newer run, goes before it."""
    if force:
        return None
    if left := publication.withdrawal(database, run_id):
        log.warning(
            "run %s was rolled back from at %s by %s (%s), so it is not published. To go forward to it again: "
            "`python -m pipeline rollback %s --reason …`",
            *(run_id, _time(left.at), left.actor, left.reason, run_id),
        )
        return Outcome.WITHDRAWN
    if newer := publication.superseding(database, run_id):
        log.warning(
            "run %s was planned before run %s, which answers as of %s (by %s), so it is not published. `python -m "
            "pipeline run` looks at the source again; to return to these answers: `python -m pipeline rollback %s "
            "--reason …`",
            *(run_id, newer.run_id, _time(newer.decided_at), newer.actor, run_id),
        )
        return Outcome.SUPERSEDED
    return None


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _listed(settings: Settings) -> Sequence[source.Part]:
    listing = source.listed(settings.source, settings.anonymous)
    if listing.left_out:
        log.info("plan: %s", listing.left_out)
    if listing.warning:
        log.warning("plan: %s", listing.warning)
    return listing.parts


def _described(parts: Sequence[source.Part], unread: int) -> str:
    """How many files, how many of them had to be read now, their size and rows, and whether these are invented."""
    files = "1 file" if len(parts) == 1 else f"{len(parts):,} files"
    read = {0: "already read", len(parts): "read now"}.get(unread, f"{unread:,} read now")
    size = sum(part.size for part in parts)
    length = f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.1f} KiB"
    sample = " of the built-in synthetic sample" if all(part.synthetic for part in parts) else ""
    return f"{files} ({read}), {length}, {sum(part.rows for part in parts):,} rows{sample}"


def _warn_of_twins(parts: Sequence[source.Part]) -> None:
    """The same bytes at two addresses may be a copy that somebody forgot: each counts."""
    first: dict[str, str] = {}
    for part in sorted(parts, key=lambda part: part.uri):
        if (other := first.setdefault(part.sha256, part.uri)) != part.uri and part.rows:
            log.warning("plan: %s and %s are the same, byte by byte; their rows count twice", other, part.uri)


def _identity(digests: list[str], rules: RuleBook, segments: SegmentBook, today: date | None) -> str:
    made_of = [*sorted(digests), rules.hash, segments.hash, today.isoformat() if today else ""]
    return sha256("\n".join(made_of).encode()).hexdigest()[:16]
