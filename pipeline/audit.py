"""The checks between loading a run and publishing it. Each is a SQL statement that selects what is wrong, a line of
text a fault.

Called by `run.py`. What fails keeps the run from being published; what warns is on record beside it.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.changes import ANSWERS, COUNTRIES, HASH_JOINS, parameters
from pipeline.database import Database

SHOWN = 5  # faults of a check; the rest are counted
CHANGED_LIMIT = 0.25  # share of the answers

MEND_RULES = (
    "Mend the data, or, where the data is right, the rule and its share in notebooks/02_cleaning_rules.ipynb; then run "
    "again"
)
FORCE = (
    "If that is as it should be, publish it all the same: `python -m pipeline run --force REASON`, or the DAG's "
    "parameter force"
)
RULES_REMAIN = (
    "`make rules` writes pipeline/rules.toml again from the notebook. If the rules are meant to be fewer, publish them "
    "with a reason: `python -m pipeline run --force REASON`, or the DAG's parameter force"
)
SAMPLE = (
    "Set VOUCHER_SOURCE to the history. If the sample is meant to replace it, publish it with a reason: `python -m "
    "pipeline run --force REASON`, or the DAG's parameter force"
)
REPORT = "The tables don't hold what the software wrote, or it is at fault: run again, and report it if it stays"


@dataclass(frozen=True)
class Audit:
    """One check: what is expected, in words; the SQL for the faults of run %(run_id)s, which may be compared with run
    %(published)s, not NULL; what to do when there are any.
    """

    name: str
    expected: str
    way_out: str
    faults: str
    severity: Literal["fail", "warn"] = "fail"
    compares: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an audit saw; `seen` is one line. One that is skipped counts as passed."""

    audit: Audit
    passed: bool
    seen: str
    skipped: bool = False

    @property
    def failed(self) -> bool:
        """Whether it keeps the run from being published."""
        return not self.passed and self.audit.severity == "fail"

    @property
    def word(self) -> str:
        """skipped, passed, warned or FAILED."""
        if self.passed:
            return "skipped" if self.skipped else "passed"
        return "FAILED" if self.failed else "warned"


AUDITS = (
    Audit(
        "rule_shares",
        "each rule's matches, as a share of all rows, inside the band that its notebook cell gives",
        MEND_RULES,
        """SELECT format('%%s matched %%s of %%s rows (%%s %%%%), expected %%s to %%s %%%%%%s', rule.name, sum(matched),
                rows_in, trim_scale(round(100.0 * sum(matched) / rows_in, 4)), 100 * share_low, 100 * share_high,
                ', e.g. ' || array_to_string((array_agg(example ORDER BY country_code)
                    FILTER (WHERE example IS NOT NULL))[1:3], ' and '))
        FROM voucher.rule JOIN voucher.run USING (run_id)
            JOIN voucher.rule_outcome ON rule_outcome.run_id = rule.run_id AND rule_outcome.rule = rule.name
        WHERE rule.run_id = %(run_id)s
        GROUP BY rule.position, rule.name, share_low, share_high, rows_in
        HAVING sum(matched)::double precision / rows_in NOT BETWEEN share_low AND share_high""",
    ),
    Audit(
        "rows_balance",
        "rows in = kept + dropped; rows kept = votes + unplaced, in each kind",
        REPORT,
        """SELECT format('%%s rows in, %%s kept, %%s dropped', rows_in, rows_kept, dropped)
        FROM voucher.run, (SELECT coalesce(sum(dropped), 0) AS dropped FROM voucher.rule_outcome
            WHERE run_id = %(run_id)s) AS outcomes
        WHERE run_id = %(run_id)s AND rows_in IS DISTINCT FROM rows_kept + dropped
        UNION ALL
        SELECT format('%%s: %%s rows kept, %%s votes and unplaced', segment_name, rows_kept, sum(rows))
        FROM voucher.run, (SELECT segment_name, uses AS rows FROM voucher.segment_vote WHERE run_id = %(run_id)s
            UNION ALL SELECT segment_name, rows FROM voucher.unplaced WHERE run_id = %(run_id)s) AS counted
        WHERE run_id = %(run_id)s GROUP BY segment_name, rows_kept HAVING sum(rows) <> rows_kept""",
    ),
    Audit(
        "rows_kept",
        "at least one row is kept",
        MEND_RULES,
        """SELECT format('none of %%s rows is kept', rows_in) FROM voucher.run
        WHERE run_id = %(run_id)s AND rows_kept = 0""",
    ),
    # Postgres' own count of what each COPY took, in whose transaction it was written: counting 100 million rows anew
    # would take half a minute, and as long again each day.
    Audit(
        "rows_loaded",
        "as many rows loaded as were kept",
        REPORT,
        """SELECT format('%%s rows kept, %%s loaded', rows_kept, loaded)
        FROM voucher.run, (SELECT coalesce(sum(rows_kept), 0) AS loaded FROM voucher.loaded_part
            JOIN voucher.run_part USING (loaded_by, part_id) WHERE run_part.run_id = %(run_id)s) AS counted
        WHERE run_id = %(run_id)s AND rows_kept <> loaded""",
    ),
    Audit(
        "segments_complete",
        "each country with a kept row has every segment of every kind, from 0 upwards without gap or overlap",
        REPORT,
        """WITH answer AS (
            SELECT *, lead(lower_bound) OVER kind AS next_lower, row_number() OVER kind AS place
            FROM voucher.segment WHERE run_id = %(run_id)s
            WINDOW kind AS (PARTITION BY country_code, segment_name ORDER BY position)
        ), defined AS (SELECT DISTINCT segment_name, segment, position, lower_bound, upper_bound FROM answer)
        SELECT format('%%s has no segment %%s of %%s', country_code, segment, segment_name)
        FROM (SELECT DISTINCT country_code FROM voucher.unplaced WHERE run_id = %(run_id)s) AS country
            CROSS JOIN defined LEFT JOIN answer USING (country_code, segment_name, segment, position, lower_bound)
        WHERE answer.run_id IS NULL
        UNION ALL
        SELECT format('%%s has no %%s', country_code, segment_name)
        FROM voucher.unplaced LEFT JOIN answer USING (country_code, segment_name)
        WHERE unplaced.run_id = %(run_id)s AND answer.run_id IS NULL
        UNION ALL
        SELECT format('%%s: the first segment of %%s, %%s, begins at %%s, not at 0', country_code, segment_name,
            segment, lower_bound)
        FROM answer WHERE place = 1 AND lower_bound <> 0
        UNION ALL
        SELECT format('%%s: segment %%s of %%s ends at %%s, and the next begins at %%s', country_code, segment,
            segment_name, coalesce(upper_bound::text, 'no bound'), coalesce(next_lower::text, 'none'))
        FROM answer WHERE upper_bound + 1 IS DISTINCT FROM next_lower""",
    ),
    # What segment_vote can't tell, how often a country used an amount in all, is bounded: unplaced rows may add to it.
    Audit(
        "answers_by_votes",
        "each segment's amount, votes and runner-up are those that segment_vote gives",
        REPORT,
        """WITH ranked AS (
            SELECT *, sum(uses) OVER segment AS rows,
                row_number() OVER (segment ORDER BY uses DESC, voucher_amount) AS place
            FROM voucher.segment_vote WHERE run_id = %(run_id)s
            WINDOW segment AS (PARTITION BY country_code, segment_name, segment)
        ), first AS (SELECT * FROM ranked WHERE place = 1), second AS (SELECT * FROM ranked WHERE place = 2),
        used AS (SELECT country_code, segment_name, voucher_amount, sum(uses) AS uses FROM ranked
            GROUP BY country_code, segment_name, voucher_amount),
        answer AS (SELECT * FROM voucher.segment WHERE run_id = %(run_id)s)
        SELECT format('%%s %%s %%s: published %%s (%%s of %%s), by its votes %%s (%%s of %%s)', country_code,
            segment_name, segment, coalesce(answer.voucher_amount::text, 'nothing'), answer.uses, answer.rows,
            coalesce(first.voucher_amount::text, 'nothing'), first.uses, first.rows)
        FROM answer FULL JOIN first USING (country_code, segment_name, segment)
            LEFT JOIN second USING (country_code, segment_name, segment)
        WHERE (answer.voucher_amount, answer.uses, answer.rows, answer.runner_up_amount, answer.runner_up_uses,
            answer.basis, answer.tied) IS DISTINCT FROM
            (coalesce(first.voucher_amount, CASE basis WHEN 'country' THEN answer.voucher_amount END),
            coalesce(first.uses, 0), coalesce(first.rows, 0), second.voucher_amount, second.uses,
            CASE WHEN first.uses IS NULL THEN 'country' ELSE 'segment' END, coalesce(second.uses = first.uses, false))
        UNION ALL
        SELECT DISTINCT format('%%s: its most used amount is said to be %%s, but %%s was used more',
            answer.country_code, answer.voucher_amount, most.voucher_amount)
        FROM answer
            JOIN (SELECT DISTINCT ON (country_code, segment_name) * FROM used
                ORDER BY country_code, segment_name, uses DESC, voucher_amount) AS most USING (country_code)
            LEFT JOIN used AS own ON (own.country_code, own.segment_name, own.voucher_amount)
                = (answer.country_code, most.segment_name, answer.voucher_amount)
            LEFT JOIN voucher.unplaced ON (unplaced.run_id, unplaced.country_code, unplaced.segment_name)
                = (%(run_id)s, answer.country_code, most.segment_name)
        WHERE basis = 'country' AND most.uses > coalesce(unplaced.rows, 0) + coalesce(own.uses, 0)""",
    ),
    Audit(
        "countries_remain",
        "every country of the published run is there",
        FORCE,
        f"""SELECT format('%%s has no answer any more', country_code)
        FROM (SELECT DISTINCT country_code FROM voucher.segment WHERE run_id = %(published)s) AS published
            JOIN {COUNTRIES} USING (country_code)
        WHERE country NOT IN (SELECT country FROM voucher.segment JOIN {COUNTRIES} USING (country_code)
            WHERE run_id = %(run_id)s)""",  # noqa: S608
        compares=True,
    ),
    Audit(
        "newest_assignment",
        "the newest assignment is not older than that of the published run",
        FORCE,
        """SELECT format('the newest assignment is of %%s, that of the published run of %%s', run.data_to,
            published.data_to)
        FROM voucher.run, voucher.run AS published
        WHERE run.run_id = %(run_id)s AND published.run_id = %(published)s AND run.data_to < published.data_to""",
        compares=True,
    ),
    Audit(
        "sample_stays_out",
        "no file is the built-in sample, unless the published run has such a file too",
        SAMPLE,
        """SELECT format('%%s of %%s files are the built-in sample', count(*) FILTER (WHERE synthetic), count(*))
        FROM voucher.run_part JOIN voucher.part USING (part_id) WHERE run_id = %(run_id)s
        HAVING bool_or(synthetic) AND NOT EXISTS (SELECT FROM voucher.run_part JOIN voucher.part USING (part_id)
            WHERE run_id = %(published)s AND synthetic)""",
        compares=True,
    ),
    Audit(
        "rules_remain",
        "at least one rule, and no fewer than the published run has",
        RULES_REMAIN,
        """WITH book AS (
            SELECT count(*) FILTER (WHERE rule.run_id = %(run_id)s) AS rules,
                count(*) FILTER (WHERE rule.run_id = %(published)s) AS published,
                string_agg(name, ', ' ORDER BY position) FILTER (WHERE rule.run_id = %(published)s AND name NOT IN
                    (SELECT name FROM voucher.rule WHERE run_id = %(run_id)s)) AS gone
            FROM voucher.rule WHERE drop_when IS NOT NULL)
        SELECT format('%%s rules, %%s in the published run; gone: %%s', rules, published, gone) FROM book
        WHERE rules < published
        UNION ALL SELECT 'there is no rule: every row that can be read is kept' FROM book
        WHERE rules = 0 AND CAST(%(published)s AS text) IS NULL""",
    ),
    Audit(
        "kinds_remain",
        "every segment kind of the published run is there",
        FORCE,
        """SELECT format('there is no %%s any more', segment_name)
        FROM (SELECT segment_name FROM voucher.segment WHERE run_id = %(published)s
            EXCEPT SELECT segment_name FROM voucher.segment WHERE run_id = %(run_id)s) AS gone""",
        compares=True,
    ),
    Audit(
        "rows_not_halved",
        "at least half as many rows kept as in the published run",
        FORCE,
        """SELECT format('%%s rows kept, %%s in the published run', run.rows_kept, published.rows_kept)
        FROM voucher.run, voucher.run AS published
        WHERE run.run_id = %(run_id)s AND published.run_id = %(published)s
            AND 2 * run.rows_kept < published.rows_kept""",
        severity="warn",
        compares=True,
    ),
    Audit(
        "answers_changed",
        f"at most {CHANGED_LIMIT:.0%} of the published answers change",
        FORCE,
        f"""SELECT format('%%s of %%s published answers change; `python -m pipeline plan` shows them', changed,
            published)
        FROM (SELECT count(old_amount) AS changed FROM ({ANSWERS}) AS answers) AS counted,
            (SELECT count(*) AS published FROM voucher.segment WHERE run_id = %(published)s) AS before
        WHERE changed > {CHANGED_LIMIT} * published""",  # noqa: S608
        severity="warn",
        compares=True,
    ),
)


def audit(database: Database, run_id: str, published: str | None) -> list[Outcome]:
    """Run every check on a loaded run and put the outcomes on record.

    `published` is the run that readers see. Comparisons with it are skipped when there is none, or when it came from
    the built-in sample.
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
            cursor.execute(check.faults, values)
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
    return Outcome(check, not faults, "; ".join([*faults[:SHOWN], *more]) or "as expected")
