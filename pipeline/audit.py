"""The checks between loading a run and publishing it. Each is a SQL statement that selects what is wrong, a line of
text a fault.

Called by `run.py`. What fails keeps the run from being published; what warns is on record beside it.
"""

from dataclasses import dataclass

from pipeline import PipelineError
from pipeline.database import Database
from pipeline.publication import reject


class RunRejected(PipelineError):
    """The run failed an audit and is not published; what was published before still is."""


@dataclass(frozen=True)
class Audit:
    """One check: its severity (fail or warn), what is expected, in words, and the SQL for the faults of the run
    %(run_id)s.
    """

    name: str
    severity: str
    expected: str
    faults: str


AUDITS = (
    Audit(
        "rule_shares",
        "fail",
        "each rule's matches, as a share of all rows, inside the band that its notebook cell gives",
        """SELECT format('%%s matched %%s of %%s rows%%s (%%s %%%%), expected %%s to %%s %%%%', rule.name, sum(matched),
                rows_in, ', e.g. ' || quote_literal(min(example)),
                trim_scale(round(100.0 * sum(matched) / rows_in, 4)), 100 * share_low, 100 * share_high)
        FROM voucher.rule JOIN voucher.run USING (run_id)
            JOIN voucher.rule_outcome ON rule_outcome.run_id = rule.run_id AND rule_outcome.rule = rule.name
        WHERE rule.run_id = %(run_id)s
        GROUP BY rule.position, rule.name, share_low, share_high, rows_in
        HAVING sum(matched)::double precision / rows_in NOT BETWEEN share_low AND share_high
        ORDER BY rule.position""",
    ),
    Audit(
        "rows_balance",
        "fail",
        "rows in = rows kept + rows dropped",
        """SELECT format('%%s rows in, %%s kept, %%s dropped', rows_in, rows_kept, sum(dropped))
        FROM voucher.run JOIN voucher.rule_outcome USING (run_id)
        WHERE run_id = %(run_id)s GROUP BY rows_in, rows_kept HAVING rows_in <> rows_kept + sum(dropped)""",
    ),
    Audit(
        "rows_loaded",
        "fail",
        "as many rows in Postgres as were kept, and at least one",
        """SELECT format('%%s rows kept, %%s in Postgres', rows_kept, loaded)
        FROM voucher.run, (SELECT count(*) AS loaded FROM voucher.assignment
            JOIN voucher.run_part USING (loaded_by, part_id) WHERE run_part.run_id = %(run_id)s) AS counted
        WHERE run_id = %(run_id)s AND (rows_kept = 0 OR rows_kept <> loaded)""",
    ),
)


def audit(database: Database, run_id: str) -> list[str]:
    """Run every check and put its outcome on record; the warnings.

    Raises RunRejected, with all that failed, once the run is marked as rejected.
    """
    failed: list[str] = []
    warned: list[str] = []
    with database.transaction() as cursor:
        for check in AUDITS:
            cursor.execute(check.faults, {"run_id": run_id})
            faults = [str(row[0]) for row in cursor.fetchall()]
            cursor.execute(
                """INSERT INTO voucher.audit_outcome (run_id, audit, severity, passed, expected, seen)
                VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (run_id, audit) DO UPDATE SET
                severity = EXCLUDED.severity, passed = EXCLUDED.passed, expected = EXCLUDED.expected,
                seen = EXCLUDED.seen""",
                (run_id, check.name, check.severity, not faults, check.expected, "; ".join(faults) or "as expected"),
            )
            (failed if check.severity == "fail" else warned).extend(f"{check.name}: {fault}" for fault in faults)
    if failed:
        reject(database, run_id)
        raise RunRejected(
            f"run {run_id} is not published: {'; '.join(failed)}. Mend the data, or, where the data is right, "
            "the rule and its share in notebooks/02_cleaning_rules.ipynb; then run again"
        )
    return warned
