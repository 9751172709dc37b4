"""Run all audits on a loaded run. Called by `run.py`. A failed audit keeps the run from being published."""

import logging
from collections.abc import Sequence

from tabulate import tabulate

from pipeline import PipelineError
from pipeline.audits import comparison, consistency
from pipeline.audits.audit import Audit, Outcome
from pipeline.audits.side_by_side import HASH_JOINS, parameters
from pipeline.publish import publication
from pipeline.publish.changes.markdown import EXAMPLE
from pipeline.publish.database import Database

log = logging.getLogger("pipeline")

AUDITS = (*consistency.AUDITS, *comparison.AUDITS)
SHOWN = 5  # failing rows of a check; the rest are counted


class RunRejected(PipelineError):
    """The run failed an audit and is not published. The published run stays as it was.

    failed: the outcomes of the audits that it failed. summary: names them, in one line; the message says what they saw
    and what to do.
    """

    def __init__(self, run_id: str, failed: Sequence[Outcome]) -> None:
        self.run_id, self.failed = run_id, failed
        names = ", ".join(outcome.audit.name for outcome in failed)
        self.summary = f"run {run_id} is not published, because audits failed: {names}"
        faults = "; ".join(f"{outcome.audit.name}: {outcome.seen}" for outcome in failed)
        remedies = ". ".join(dict.fromkeys(outcome.audit.remedy for outcome in failed))
        super().__init__(f"run {run_id} is not published: {faults}. {remedies}")


def audit_run(database: Database, run_id: str, force: str | None, *, announce: bool = True) -> None:
    """Audit a loaded run, log the outcomes, and reject the run if an audit fails, unless `force` is a reason not to.

    announce: whether the rejection leaves a notice. Raises RunRejected.
    """
    published = publication.current(database)
    outcomes = _run_audits(database, run_id, published)
    log.info("audit: run %s, compared with %s", run_id, published or "nothing")
    table = [[outcome.audit.name, outcome.word, outcome.seen.removeprefix("skipped: ")] for outcome in outcomes]
    for line in tabulate(table, ["audit", "outcome", "seen"], maxcolwidths=[None, None, 70]).splitlines():
        log.info("audit:   %s", line)
    for warned in (outcome for outcome in outcomes if outcome.word == "warned"):
        log.warning("audit: %s: expected: %s; seen: %s", warned.audit.name, warned.audit.expected, warned.seen)
    if not (failed := [outcome for outcome in outcomes if outcome.failed]):
        return
    if force:
        log.warning("audit: published in spite of it, by force: %s", force)
        return
    reason = "; ".join(f"{outcome.audit.name}: {outcome.without_rows}" for outcome in failed)
    publication.reject(database, run_id, reason, announce=announce)
    raise RunRejected(run_id, failed)


def _run_audits(database: Database, run_id: str, published: str | None) -> list[Outcome]:
    """Run all audits on a loaded run, record their outcomes and return them.

    `published` is the run that readers see. Comparisons with it are skipped if there is none, or if it came from the
    built-in sample.
    """
    with database.transaction() as cursor:
        cursor.execute(HASH_JOINS)
        cursor.execute(
            """SELECT count(*) > 0 AND bool_and(synthetic) AS synthetic
            FROM voucher.run_part JOIN voucher.part USING (part_id) WHERE run_id = %s""",
            (published,),
        )
        skipped = "nothing is published" if not published else "the published run came from the built-in sample"
        skip = not published or cursor.fetchone().synthetic
        values = parameters(cursor, run_id, published)
        outcomes = []
        for check in AUDITS:
            if check.compares and skip:
                outcomes.append(Outcome(check, True, f"skipped: {skipped}", skipped=True))
                continue
            cursor.execute(check.failing_rows, values)
            outcomes.append(_outcome(check, sorted(str(row[0]) for row in cursor.fetchall())))
        for outcome in outcomes:
            check = outcome.audit
            cursor.execute(
                """INSERT INTO voucher.audit_outcome (run_id, audit, severity, passed, expected, seen, compared_with)
                VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (run_id, audit) DO UPDATE SET
                (severity, passed, expected, seen, compared_with) = (EXCLUDED.severity, EXCLUDED.passed,
                EXCLUDED.expected, EXCLUDED.seen, EXCLUDED.compared_with)""",
                (run_id, check.name, check.severity, outcome.passed, check.expected, outcome.seen, published),
            )
        return outcomes


def _outcome(check: Audit, faults: list[str]) -> Outcome:
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    seen = "; ".join([*faults[:SHOWN], *more]) or "as expected"
    without_rows = "; ".join([*(fault.partition(EXAMPLE)[0] for fault in faults[:SHOWN]), *more])
    return Outcome(check, not faults, seen, without_rows=without_rows)
