"""Compare a run with the published one: definitions, counts and answers. Called by `run.py` and the command `plan`."""

from collections.abc import Iterator
from typing import Any

from pipeline.publish import definitions
from pipeline.publish.changes.models import Answer, Changes, Compared, FailedAudit, Policy, RuleCounts, Run
from pipeline.publish.database import Database
from shared import differences
from shared.countries import country_key
from shared.definitions import Interval, Segment, intervals

Rows = dict[str, Any]  # the answers of a country and kind, by their labels

# The runs %(runs)s: the published one, which may be NULL, and the planned one.
RUNS = """SELECT run_id, source, rows_in, rows_kept, data_from, data_to,
    ARRAY(SELECT DISTINCT country_code FROM voucher.segment WHERE segment.run_id = run.run_id ORDER BY 1) AS countries,
    (SELECT count(*) FROM voucher.segment WHERE segment.run_id = run.run_id) AS answers,
    (SELECT count(*) FROM voucher.segment WHERE segment.run_id = run.run_id AND basis = 'effect') AS chosen_by_effect,
    (SELECT string_agg(format('%%s %%s %%%%', chosen_by, share), ', ' ORDER BY chosen_by) FROM (
        SELECT chosen_by, trim_scale(round(100 * sum(tickets) / sum(sum(tickets)) OVER (), 4)) AS share
        FROM voucher.draw WHERE draw.run_id = run.run_id GROUP BY chosen_by) AS shares) AS lottery
  FROM voucher.run WHERE run_id IN (%(published)s, %(run_id)s)"""

RULES = """WITH counted AS (
    SELECT rule.run_id, position, name, drop_when, CAST(sum(matched) AS bigint) AS matched,
        CAST(sum(dropped) AS bigint) AS dropped
    FROM voucher.rule
        LEFT JOIN voucher.rule_outcome AS outcome ON (outcome.run_id, rule) = (rule.run_id, name)
    GROUP BY rule.run_id, position, name, drop_when)
  SELECT name AS rule, old.matched AS old_matched, new.matched AS new_matched, old.dropped AS old_dropped,
    new.dropped AS new_dropped
  FROM (SELECT * FROM counted WHERE run_id = %(published)s) AS old
  FULL JOIN (SELECT * FROM counted WHERE run_id = %(run_id)s) AS new USING (name)
  WHERE coalesce(old.matched, 0) + coalesce(new.matched, 0) > 0 OR coalesce(new.drop_when, old.drop_when) IS NOT NULL
  ORDER BY coalesce(new.position, old.position)"""

ANSWERS = """SELECT country_code, segment_name, segment.measure, unit, segment, lower_bound, upper_bound,
    voucher_amount AS amount, uses, rows, share_low, share_high, sends, clear, basis
  FROM voucher.segment JOIN voucher.kind USING (run_id, segment_name)
  WHERE run_id = %s ORDER BY country_code, kind.position, segment.position"""

AUDITS = """SELECT audit, severity, expected, seen FROM voucher.audit_outcome WHERE run_id = %(run_id)s AND NOT passed
  ORDER BY severity, audit"""

POLICIES = """SELECT country_code AS country, segment_name AS kind, policy, known, value, value_low, value_high, cost,
    refused
  FROM voucher.policy WHERE run_id = %(run_id)s ORDER BY country_code, segment_name, policy"""


def changes(database: Database, run_id: str, published: str | None, blocked: str | None = None) -> Changes:
    """Compare a loaded run with the published one. blocked: why it can't be published, whatever its audits say."""
    with database.transaction() as cursor:

        def rows(sql: str, *of: str | None) -> list[Any]:
            cursor.execute(sql, of or {"run_id": run_id, "published": published})
            return list(cursor.fetchall())

        runs = {row.run_id: Run(**row._asdict()) for row in rows(RUNS)}
        sides = [each or "" for each in (published, run_id)]
        defined = [(definitions.rules(cursor, each), definitions.kinds(cursor, each)) for each in sides]
        answers = list(_answers(*(rows(ANSWERS, each) for each in sides)))
        return Changes(
            planned=runs[run_id],
            published=runs.get(published or ""),
            blocked=blocked,
            definitions=differences.changes(*defined) if published else [],
            audits=[FailedAudit(**row._asdict()) for row in rows(AUDITS)],
            rules=[RuleCounts(**row._asdict()) for row in rows(RULES)],
            compared=len(answers),
            differing=sum(each.differs for each in answers),
            answers=[each for each in answers if each.differs or each.moved],
            policies=[Policy(**row._asdict()) for row in rows(POLICIES)],
        )


def _answers(published: list[Any], planned: list[Any]) -> Iterator[Compared]:
    """Yield the answers of either run, by the intervals of both. Numbers of two measures can't be compared."""
    names = {country_key(row.country_code): row.country_code for row in (*published, *planned)}
    units = {(row.segment_name, row.measure): row.unit for row in (*planned, *published)}
    order = [*dict.fromkeys(name for name, _ in units)]
    old, new = _by_label(published), _by_label(planned)
    keys = sorted({*old, *new}, key=lambda key: (names[key[0]], order.index(key[1][0]), key in new))
    for country, kind in keys:
        before, after = (side.get((country, kind), {}) for side in (old, new))
        for each in intervals(_segments(before), _segments(after)):
            yield _compared(each, before, after, country=names[country], kind=kind[0], unit=units[kind])


def _compared(interval: Interval, before: Rows, after: Rows, **of: str) -> Compared:
    old, new = _answer(interval.old, before), _answer(interval.new, after)
    return Compared(
        **of,
        customers=interval.label,
        lower=interval.lower,
        upper=interval.upper,
        moved=interval.is_moved,
        differs=(old and old.amount) != (new and new.amount),
        old=old,
        new=new,
    )


def _answer(segment: Segment | None, rows: Rows) -> Answer | None:
    return Answer(**{name: getattr(rows[segment.label], name) for name in Answer.model_fields}) if segment else None


def _by_label(answers: list[Any]) -> dict[tuple[str, tuple[str, str]], Rows]:
    """Return the rows by country and kind with its measure, and by their labels, in order."""
    found: dict[tuple[str, tuple[str, str]], Rows] = {}
    for row in answers:
        found.setdefault((country_key(row.country_code), (row.segment_name, row.measure)), {})[row.segment] = row
    return found


def _segments(rows: Rows) -> list[Segment]:
    return [Segment(label, row.lower_bound, row.upper_bound) for label, row in rows.items()]
