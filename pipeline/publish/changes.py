"""Compare a run with the published one: rules, counts and answers. Called by `audits` and `run.py`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tabulate import tabulate

from pipeline.publish.database import Database
from shared.countries import country_key

# Each spelling of a country in either run, with a number that is the same for all spellings of one (see `parameters`).
# What Postgres' lower() does depends on the database's locale, and the database may lack a letter of the key.
COUNTRIES = "unnest(%(spellings)s::text[], %(numbers)s::integer[]) AS spelled (country_code, country)"

# The answers of run %(run_id)s beside those of run %(published)s, which may be NULL.
COMPARED = f"""SELECT coalesce(new.country_code, old.country_code) AS country, segment_name, segment,
    old.voucher_amount AS old_amount, old.uses AS old_uses, old.rows AS old_rows, old.basis AS old_basis,
    new.voucher_amount AS new_amount, new.uses AS new_uses, new.rows AS new_rows, new.basis AS new_basis,
    coalesce(new.position, old.position) AS position
  FROM (SELECT * FROM voucher.segment JOIN {COUNTRIES} USING (country_code) WHERE run_id = %(published)s) AS old
  FULL JOIN (SELECT * FROM voucher.segment JOIN {COUNTRIES} USING (country_code) WHERE run_id = %(run_id)s) AS new
    USING (country, segment_name, segment)"""  # noqa: S608
ANSWERS = f"""SELECT * FROM ({COMPARED}) AS compared WHERE old_amount IS DISTINCT FROM new_amount
  ORDER BY country, segment_name, position"""  # noqa: S608

RULES = """WITH counted AS (
    SELECT rule.run_id, position, name, drop_when, CAST(sum(matched) AS bigint) AS matched,
        CAST(sum(dropped) AS bigint) AS dropped
    FROM voucher.rule
        LEFT JOIN voucher.rule_outcome AS outcome ON (outcome.run_id, rule) = (rule.run_id, name)
    GROUP BY rule.run_id, position, name, drop_when)
  SELECT name, old.matched AS old_matched, new.matched AS new_matched, old.dropped AS old_dropped,
    new.dropped AS new_dropped, CASE WHEN old.name IS NULL THEN 'new rule: ' || new.drop_when
        WHEN new.name IS NULL THEN 'no longer a rule'
        WHEN old.drop_when <> new.drop_when THEN 'now ' || new.drop_when ELSE '' END AS change
  FROM (SELECT * FROM counted WHERE run_id = %(published)s) AS old
  FULL JOIN (SELECT * FROM counted WHERE run_id = %(run_id)s) AS new USING (name)
  WHERE coalesce(old.matched, 0) + coalesce(new.matched, 0) > 0 OR coalesce(new.drop_when, old.drop_when) IS NOT NULL
  ORDER BY coalesce(new.position, old.position)"""

# What a run has just written has no statistics yet: Postgres would take it for a few rows, and choose joins whose time
# grows with the square of the countries.
HASH_JOINS = "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off"

COUNT = f"SELECT count(*) AS answers FROM ({COMPARED}) AS compared"  # noqa: S608
TOTALS = """SELECT run_id, source, rows_in, rows_kept, data_from, data_to,
    (SELECT count(*) FROM voucher.segment WHERE segment.run_id = run.run_id) AS answers,
    (SELECT count(*) FROM voucher.segment WHERE segment.run_id = run.run_id AND basis = 'effect') AS chosen_by_effect,
    (SELECT string_agg(format('%%s %%s %%%%', chosen_by, share), ', ' ORDER BY chosen_by) FROM (
        SELECT chosen_by, trim_scale(round(100 * sum(tickets) / sum(sum(tickets)) OVER (), 4)) AS share
        FROM voucher.draw WHERE draw.run_id = run.run_id GROUP BY chosen_by) AS shares) AS lottery
  FROM voucher.run WHERE run_id IN (%(published)s, %(run_id)s)"""


POLICIES = """SELECT country_code, segment_name, policy, known, value, value_low, value_high, cost, refused
  FROM voucher.policy WHERE run_id = %(run_id)s ORDER BY country_code, segment_name, policy"""


MORE_FACTS = ("chosen_by_effect", "lottery")  # are shown if a run has them


@dataclass(frozen=True)
class Changes:
    """The rows of ANSWERS, RULES and TOTALS for a run and the published one, which is None if there is none.

    policies: what policies are worth in this run. compared: the number of answers in either of the two.
    """

    run_id: str
    published: str | None
    answers: list[Any]
    rules: list[Any]
    totals: dict[str, Any]
    policies: list[Any]
    compared: int

    @property
    def summary(self) -> str:
        """Return one line: how many answers differ, of how many."""
        return f"{len(self.answers):,} of {self.compared:,} answers {'differ' if self.published else 'are new'}"

    def __str__(self) -> str:
        """Return the tables that a person reads before publishing."""
        if self.run_id == self.published:
            return f"run {self.run_id} is the published one: nothing would change"
        columns = {"": None, "published": self.totals.get(self.published or ""), "this run": self.totals[self.run_id]}
        more = (fact for fact in MORE_FACTS if any(getattr(run, fact) for run in self.totals.values()))
        facts = ("run_id", "source", "rows_in", "rows_kept", "data_from", "data_to", "answers", *more)
        totals = [[fact, *(_shown(getattr(run, fact, None)) for run in list(columns.values())[1:])] for fact in facts]
        rules = [
            [r.name, _moved(r.old_matched, r.new_matched), _moved(r.old_dropped, r.new_dropped), r.change]
            for r in self.rules
        ]
        answers = [
            [
                *(a.country, a.segment_name, a.segment),
                _answer(a.old_amount, a.old_uses, a.old_rows, a.old_basis),
                "→",
                _answer(a.new_amount, a.new_uses, a.new_rows, a.new_basis),
            ]
            for a in self.answers
        ]
        parts = [
            tabulate(totals, list(columns), disable_numparse=True, colalign=("left", "right", "right")),
            tabulate(rules, ["rule", "matched", "dropped", ""], disable_numparse=True),
            self.summary,
        ]
        if answers:
            headers = ["country", "kind", "segment", "old (votes of rows)", "", "new (votes of rows)"]
            parts.append(tabulate(answers, headers, disable_numparse=True))
        if self.policies:
            headers = ["country", "kind", "amounts", "customers", "would redeem", "cost a customer"]
            parts.append(tabulate(map(_policy, self.policies), headers, disable_numparse=True))
        return "\n\n".join(parts)


def changes(database: Database, run_id: str, published: str | None) -> Changes:
    """Compare a loaded run with the published one."""
    found = {}
    with database.transaction() as cursor:
        cursor.execute(HASH_JOINS)
        values = parameters(cursor, run_id, published)
        for name, sql in (
            ("answers", ANSWERS),
            ("rules", RULES),
            ("totals", TOTALS),
            ("policies", POLICIES),
            ("count", COUNT),
        ):
            cursor.execute(sql, values)
            found[name] = cursor.fetchall()
    totals = {run.run_id: run for run in found["totals"]}
    compared = found["count"][0].answers
    return Changes(run_id, published, found["answers"], found["rules"], totals, found["policies"], compared)


def parameters(cursor: Any, run_id: str, published: str | None) -> dict[str, Any]:
    """Return the parameters of the statements here and in `audits`, which compare two runs."""
    runs = {"run_id": run_id, "published": published}
    cursor.execute(
        "SELECT DISTINCT country_code FROM voucher.segment WHERE run_id IN (%(run_id)s, %(published)s)", runs
    )
    spellings = [row.country_code for row in cursor.fetchall()]
    numbers: dict[str, int] = {}
    of_keys = [numbers.setdefault(country_key(spelling), len(numbers)) for spelling in spellings]
    return runs | {"spellings": spellings, "numbers": of_keys}


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _moved(old: int | None, new: int | None) -> str:
    return _shown(new) if old == new else f"{_shown(old)} → {_shown(new)}"


def _policy(policy: Any) -> list[str]:
    told = [policy.country_code, policy.segment_name, policy.policy, f"{policy.known:,}"]
    if policy.refused:
        return [*told, f"not told: {policy.refused}", "-"]
    return [*told, f"{policy.value:.1%} ({policy.value_low:.1%} to {policy.value_high:.1%})", f"{policy.cost:,.2f}"]


def _answer(amount: Any, uses: int | None, rows: int | None, basis: str | None) -> str:
    if amount is None:
        return "no answer"
    votes = f"{uses:,} of {rows:,}" if rows else "no votes, the country's"
    votes = f"by effect, {votes}" if basis == "effect" else votes
    return f"{amount:f}".rstrip("0").rstrip(".") + f" ({votes})"
