"""The main flow: plan, load, audit, publish, prune. The DAG's tasks call these steps; `python -m pipeline` runs them
in order.
"""

import argparse
import getpass
import logging
import os
import sys
from datetime import date
from hashlib import sha256
from time import monotonic

from pipeline import PipelineError, engine, publication, source, store
from pipeline.audit import audit as audited
from pipeline.database import Database
from pipeline.rules import RULES_FILE, UNREADABLE, RuleBook
from pipeline.segments import SEGMENTS_FILE, SegmentBook
from pipeline.settings import Settings

log = logging.getLogger("pipeline")


def plan(settings: Settings) -> str:
    """Find the parts, identify them, and put the run on record; its run_id. The same input gives the same run_id."""
    rules, segments = RuleBook.load(RULES_FILE), SegmentBook.load(SEGMENTS_FILE)
    database = Database(settings.database_url)
    found = source.parts(settings.source, settings.anonymous)
    parts = [store.recorded(database, part) or source.identified(part, settings.anonymous) for part in found]
    run_id = _identity([part.sha256 for part in parts], rules, segments, settings.today)
    planned = store.Run(run_id, settings.source, rules.hash, segments.hash, settings.today)
    status = store.plan(database, planned, parts, rules.every)
    log.info("plan: run %s (%s) of %s, %s bytes", run_id, status, settings.source, f"{sum(p.size for p in parts):,}")
    return run_id


def load(settings: Settings, run_id: str) -> None:
    """Clean the run's parts and write rows, counts, votes and segments under its run_id, unless all of it is there."""
    database = Database(settings.database_url)
    if store.is_loaded(database, run_id):
        log.info("load: run %s is loaded already", run_id)
        return
    rules, segments = RuleBook.load(RULES_FILE), SegmentBook.load(SEGMENTS_FILE)
    planned = store.run(database, run_id)
    if (rules.hash, segments.hash) != (planned.rules_hash, planned.segments_hash):
        raise PipelineError(f"the rules or segments changed since run {run_id} was planned; run again")
    tallies = []
    for part_id, part in store.parts(database, run_id):
        with (
            source.fetched(part, settings.anonymous) as (path, _),
            engine.judged(path, rules, segments, today=planned.today, name=part.uri) as judged,
        ):
            tallies.append(judged.tally())
            kept = store.load_part(database, run_id, part_id, judged.kept())
            log.info("load: %s rows kept of %s", f"{kept:,}", part.uri)
    results = engine.results(tallies, rules, segments)
    store.finish(database, run_id, results)
    log.info("load: %s rows in, %s kept", f"{results.rows_in:,}", f"{results.rows_kept:,}")
    for name, matched, dropped in results.by_rule():
        if matched == 0 and name in UNREADABLE:
            continue
        log.info("load:   %-32s matched %10s   dropped %10s", name, f"{matched:,}", f"{dropped:,}")


def audit(settings: Settings, run_id: str) -> None:
    """Check the loaded run. Raises RunRejected when it must not be published."""
    for warning in audited(Database(settings.database_url), run_id):
        log.warning("audit: %s", warning)
    log.info("audit: run %s passed", run_id)


def publish(settings: Settings, run_id: str, actor: str) -> None:
    """Let readers see the run."""
    previous = publication.publish(Database(settings.database_url), run_id, actor)
    if previous == run_id:
        log.info("publish: run %s was published already", run_id)
    else:
        log.info("publish: run %s takes over from %s", run_id, previous or "nothing")


def prune(settings: Settings) -> None:
    """Drop cleaned rows that no kept run refers to."""
    for run_id in publication.prune(Database(settings.database_url), settings.keep_runs):
        log.info("prune: the rows of run %s are dropped", run_id)


def run(settings: Settings, actor: str) -> str:
    """All steps in order; the published run's run_id."""
    run_id = plan(settings)
    load(settings, run_id)
    audit(settings, run_id)
    publish(settings, run_id, actor)
    prune(settings)
    return run_id


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 1 after one line on standard error that says what is wrong and what to do."""
    parser = argparse.ArgumentParser("python -m pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="read the history, apply the rules, publish the answers")
    runs.add_argument("--source", help="s3://bucket/key, https://… or a file, instead of VOUCHER_SOURCE")
    commands.add_parser("migrate", help="bring the tables to the newest version (as their owner: DATABASE_URL)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    started = monotonic()
    try:
        if options.command == "migrate":
            from pipeline.migrations import migrate  # noqa: PLC0415  (alembic takes a second to import)

            migrate(os.environ.get("DATABASE_URL", ""))
        else:
            run_id = run(Settings.read(options.source), getpass.getuser())
            log.info("run %s is published, after %.1f s", run_id, monotonic() - started)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _identity(digests: list[str], rules: RuleBook, segments: SegmentBook, today: date | None) -> str:
    made_of = [*sorted(digests), rules.hash, segments.hash, today.isoformat() if today else ""]
    return sha256("\n".join(made_of).encode()).hexdigest()[:16]
