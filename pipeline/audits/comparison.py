"""Audits that compare a run with the published one.

To add one, add it to `AUDITS`: `runner` runs it, and `make tables` writes it into docs/runs.md.
"""

from pipeline.audits.audit import FORCE, Audit
from pipeline.audits.side_by_side import ANSWERS, COUNTRIES

CHANGED_LIMIT = 0.25  # share of the answers

RULES_REMAIN = (
    "`make rules` writes pipeline/rules.toml again from the notebook. If there should be fewer rules, publish them "
    "with a reason: `python -m pipeline run --force REASON`, or the DAG's parameter force"
)
SAMPLE = (
    "Set VOUCHER_SOURCE to the history. If the sample should replace it, publish it with a reason: `python -m "
    "pipeline run --force REASON`, or the DAG's parameter force"
)

AUDITS = (
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
        f"at most {CHANGED_LIMIT:.0%} of the published answers change or lose their label",
        FORCE,
        f"""SELECT format(
            '%%s of %%s published answers change or lose their label; `python -m pipeline plan` shows them', changed,
            published)
        FROM (SELECT count(old_amount) AS changed FROM ({ANSWERS}) AS answers) AS counted,
            (SELECT count(*) AS published FROM voucher.segment WHERE run_id = %(published)s) AS before
        WHERE changed > {CHANGED_LIMIT} * published""",  # noqa: S608
        severity="warn",
        compares=True,
    ),
)
