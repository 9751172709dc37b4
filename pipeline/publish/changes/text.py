"""The comparison of two runs as tables for a terminal or a log."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from tabulate import tabulate

from pipeline.publish.changes.models import Answer, Changes, Compared, Policy, RuleCounts, Run

FACTS = ("run_id", "source", "rows_in", "rows_kept", "data_from", "data_to", "countries", "answers")
MORE_FACTS = ("chosen_by_effect", "lottery")  # are shown if a run has them
ANSWER = "(votes of rows, 95 % interval)"


def text(changes: Changes) -> str:
    """Return the tables that a person reads before publishing."""
    if changes.is_published:
        return f"run {changes.planned.run_id} is the published one: nothing would change"
    parts = [tabulate(facts(changes), ["", "published", "this run"], disable_numparse=True, colalign=RIGHT)]
    parts += ["\n".join(f"- {' '.join(line.split())}" for line in changes.definitions)]
    rules = [[each.rule, *counts(each)] for each in changes.rules]
    parts += [tabulate(rules, ["rule", "matched", "dropped"], disable_numparse=True), changes.summary]
    if changes.answers:
        parts.append(answers(changes.answers))
    if changes.policies:
        parts.append(tabulate(map(policy, changes.policies), POLICY, disable_numparse=True))
    return "\n\n".join(filter(None, parts))


def answers(compared: Sequence[Compared]) -> str:
    """Return a table of answers, old → new."""
    headers = ["country", "kind", "customers", f"old {ANSWER}", "", f"new {ANSWER}"]
    return tabulate(map(_compared, compared), headers, disable_numparse=True)


RIGHT = ("left", "right", "right")
POLICY = ["country", "kind", "amounts", "customers", "would redeem", "cost a customer"]


def facts(changes: Changes) -> Iterator[list[str]]:
    """Yield a name and what the published and the planned run have, for each fact; then countries in only one."""
    old, new = changes.published, changes.planned
    more = (fact for fact in MORE_FACTS if any(getattr(run, fact) for run in (old, new) if run))
    for fact in (*FACTS, *more):
        yield [fact.replace("_", " "), *(shown(_fact(run, fact)) for run in (old, new))]
    if old and {*old.countries} != {*new.countries}:
        only = (_names(one.countries, other.countries) for one, other in ((old, new), (new, old)))
        yield ["countries in only one run", *only]


def counts(rule: RuleCounts) -> list[str]:
    """Return how many rows a rule matched and dropped, old → new."""
    return [_moved(rule.old_matched, rule.new_matched), _moved(rule.old_dropped, rule.new_dropped)]


def answer(found: Answer | None) -> str:
    """Return an amount with its votes and the interval of its share."""
    if found is None:
        return "no answer"
    votes = f"{found.uses:,} of {found.rows:,}" if found.rows else "no votes, the country's"
    votes = f"by effect, {votes}" if found.basis == "effect" else votes
    if found.share_low is not None and found.share_high is not None:
        votes += f", {100 * found.share_low:.0f} to {100 * found.share_high:.0f} %"
    return f"{found.amount:f}".rstrip("0").rstrip(".") + f" ({votes})"


def policy(found: Policy) -> list[str]:
    """Return what a policy is worth, for the columns of POLICY."""
    told = [found.country, found.kind, found.policy, f"{found.known:,}"]
    if found.refused or found.value is None:
        return [*told, f"not told: {found.refused}", "-"]
    return [*told, f"{found.value:.1%} ({found.value_low:.1%} to {found.value_high:.1%})", f"{found.cost:,.2f}"]


def shown(value: Any) -> str:
    """Return a fact as text, '-' for none."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _compared(found: Compared) -> list[str]:
    customers = f"{found.customers} {found.unit}"
    old, new = answer(found.old), answer(found.new)
    return [found.country, found.kind, customers, old, "→" if found.differs else "=", new]


def _fact(run: Run | None, name: str) -> Any:
    value = getattr(run, name, None)
    return len(value) if isinstance(value, list) else value


def _names(countries: list[str], others: list[str]) -> str:
    only = [country for country in countries if country not in others]
    return ", ".join([*only[:5], *([f"{len(only) - 5:,} more"] if len(only) > 5 else [])]) or "-"


def _moved(old: int | None, new: int | None) -> str:
    return shown(new) if old == new else f"{shown(old)} → {shown(new)}"
