"""Audits of a run by itself: its rules' bands, its numbers, and whether its tables agree with one another.

To add one, add it to `AUDITS`: `runner` runs it, and `make tables` writes it into docs/runs.md.
"""

from pipeline.audits.audit import MEND_RULES, Audit

REPORT = (
    "The tables differ from what the software wrote, or the software has a bug: run again, and report it if it persists"
)

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
        "each segment's amount, votes and runner-up are those that segment_vote gives, unless it is chosen by effect",
        REPORT,
        """WITH ranked AS (
            SELECT *, sum(uses) OVER segment AS rows,
                row_number() OVER (segment ORDER BY uses DESC, voucher_amount) AS place
            FROM voucher.segment_vote WHERE run_id = %(run_id)s
            WINDOW segment AS (PARTITION BY country_code, segment_name, segment)
        ), first AS (SELECT * FROM ranked WHERE place = 1), second AS (SELECT * FROM ranked WHERE place = 2),
        used AS (SELECT country_code, segment_name, voucher_amount, sum(uses) AS uses FROM ranked
            GROUP BY country_code, segment_name, voucher_amount),
        answer AS (SELECT * FROM voucher.segment WHERE run_id = %(run_id)s),
        chosen AS (SELECT ranked.* FROM ranked JOIN answer USING (country_code, segment_name, segment, voucher_amount)
            WHERE basis = 'effect' AND place > 1)
        SELECT format('%%s %%s %%s: published %%s (%%s of %%s), by its votes %%s (%%s of %%s)', country_code,
            segment_name, segment, coalesce(answer.voucher_amount::text, 'nothing'), answer.uses, answer.rows,
            coalesce(first.voucher_amount::text, 'nothing'), first.uses, first.rows)
        FROM answer FULL JOIN first USING (country_code, segment_name, segment)
            LEFT JOIN second USING (country_code, segment_name, segment)
            LEFT JOIN chosen USING (country_code, segment_name, segment)
        WHERE (answer.voucher_amount, answer.uses, answer.rows, answer.runner_up_amount, answer.runner_up_uses,
            answer.basis, answer.tied) IS DISTINCT FROM
            (coalesce(chosen.voucher_amount, first.voucher_amount,
                CASE basis WHEN 'country' THEN answer.voucher_amount END),
            coalesce(chosen.uses, first.uses, 0), coalesce(first.rows, 0),
            CASE WHEN chosen.uses IS NULL THEN second.voucher_amount ELSE first.voucher_amount END,
            CASE WHEN chosen.uses IS NULL THEN second.uses ELSE first.uses END,
            CASE WHEN first.uses IS NULL THEN 'country' WHEN basis = 'effect' THEN basis ELSE 'segment' END,
            coalesce(second.uses = first.uses, false) AND basis <> 'effect')
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
        "answers_by_effect",
        "an amount is chosen by effect only where more customers redeem it than the smallest one, beyond chance",
        REPORT,
        """SELECT format('%%s %%s %%s: %%s is chosen by effect, but its effect is not known or not clear',
            country_code, segment_name, segment, voucher_amount)
        FROM voucher.segment
            LEFT JOIN voucher.effect USING (run_id, country_code, segment_name, segment, voucher_amount)
        WHERE run_id = %(run_id)s AND basis = 'effect'
            AND NOT coalesce(evidence = 'effect' AND difference_low > 0, false)""",
    ),
    Audit(
        "draws_complete",
        "if there is a lottery, each segment has the same chances, and the rest gets the segment's amount",
        REPORT,
        """WITH chances AS (
            SELECT country_code, segment_name, segment,
                coalesce(round(sum(tickets) FILTER (WHERE chosen_by = 'table') / sum(tickets), 9), 0) AS by_table,
                max(draw.voucher_amount) FILTER (WHERE chosen_by = 'table') AS amount, segment.voucher_amount
            FROM voucher.segment
                LEFT JOIN voucher.draw USING (run_id, country_code, segment_name, segment)
            WHERE run_id = %(run_id)s GROUP BY country_code, segment_name, segment, segment.voucher_amount
        )
        SELECT format('%%s %%s %%s: %%s of 1 get %%s, and the answer is %%s', country_code,
            segment_name, segment, by_table, coalesce(amount::text, 'nothing'), voucher_amount)
        FROM chances
        WHERE EXISTS (SELECT FROM voucher.draw WHERE run_id = %(run_id)s)
            AND (by_table <> (SELECT max(by_table) FROM chances) OR amount <> voucher_amount)""",
    ),
)
