"""The comparison of two runs as GitHub flavoured Markdown, for a comment on a pull request.

Names and conditions come from files and tables that others wrote, so `escape` lets them be text only: no HTML, no
link, no mention, no other cell or line.
"""

import re
from collections.abc import Iterable, Sequence

from pipeline.publish.changes.models import Changes, Compared
from pipeline.publish.changes.text import POLICY, answer, counts, facts, policy

MAX_ROWS = 60  # of a table: GitHub refuses comments of more than 65,536 characters
HEADING = "### What this changes in the answers"
BLOCKERS = {"fail": "**Would not be published**: ", "warn": "Warning: "}
# The ASCII punctuation that means something within a line. "@" and "#" link to users and issues even if escaped, unless
# an invisible character follows.
SPECIAL = re.compile(r"[\\`*_{}\[\]<>#!|~&$:^@\"]")
LINKING = ("@", "#")
EXAMPLE = ", e.g. {"  # begins the rows of the history in what an audit saw: a comment may be public, so it has none
INVISIBLE = "&#8203;"


def markdown(changes: Changes) -> str:
    """Return the comparison: what the runs are, the definitions in words, and tables of rules and answers."""
    lines = [HEADING, "", _first_line(changes), ""]
    if changes.blocked:
        lines += [f"**Run `{changes.planned.run_id}` {escape(changes.blocked)}.**", ""]
    for audit in changes.audits:
        seen, has_rows, _ = audit.seen.partition(EXAMPLE)
        seen = f"{escape(seen)} (`python -m pipeline plan` shows example rows)" if has_rows else escape(seen)
        told = f"`{audit.audit}` expects {escape(audit.expected)}; seen: {seen}"
        lines += [f"{BLOCKERS[audit.severity]}{told}", ""]
    if changes.is_published:
        return "\n".join(lines)
    if changes.definitions:
        lines += [*(f"- {escape(line)}" for line in changes.definitions), ""]
    lines += _table(["", "published", "this run"], facts(changes))
    lines += _table(["rule", "matched", "dropped"], ([each.rule, *counts(each)] for each in changes.rules))
    lines += _table(["country", "kind", "customers", "old", "new"], map(_compared, _first(changes.answers)))
    lines += _table(POLICY, map(policy, changes.policies))
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return SPECIAL.sub(lambda found: _escaped(found[0]), line)


def _escaped(char: str) -> str:
    return f"\\{char}{INVISIBLE}" if char in LINKING else f"\\{char}"


def _first_line(changes: Changes) -> str:
    run = changes.planned.run_id
    if changes.published is None:
        return f"**{changes.summary}** in run `{run}`: nothing is published yet."
    if changes.is_published:
        return f"Nothing: run `{run}` is the published one."
    return f"**{changes.summary}** in run `{run}` from those of the published run `{changes.published.run_id}`."


def _first(answers: list[Compared]) -> list[Compared]:
    """Return the answers with those that differ before the others, if there are too many to show."""
    return sorted(answers, key=lambda each: not each.differs) if len(answers) > MAX_ROWS else answers


def _compared(found: Compared) -> list[str]:
    old, new = answer(found.old), answer(found.new)
    same = "" if found.differs else "same: "
    return [found.country, found.kind, f"{found.customers} {found.unit}", old, f"{same}{new}"]


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(map(escape, row))} |" for row in rows]
    head = [f"| {' | '.join(headers)} |", f"|{' --- |' * len(headers)}"]
    hidden = len(lines) - MAX_ROWS
    more = [f"and {hidden:,} more: `python -m pipeline plan` lists them", ""] if hidden > 0 else []
    return [*head, *lines[:MAX_ROWS], "", *more] if lines else []
