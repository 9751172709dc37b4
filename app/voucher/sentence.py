"""Summarize an answer and its evidence in sentences, for people. Called by `explanation`."""

from datetime import date
from decimal import Decimal

from app.published.effects import Effect, money
from app.published.lottery import Choice, json_number
from app.published.segment import Kind, Segment
from app.published.snapshot import RunStatus, Snapshot

# What a run is that is not the published one.
OTHERS: dict[RunStatus, str] = {
    "published": "was published before",
    "withdrawn": "was withdrawn by a rollback",
    "rejected": "was rejected by its audits",
    "planned": "is planned, but was never published",
}


def origin(run: Snapshot) -> str:
    """Return a sentence about a run that is not the published one, with a space before it; "" for the published one."""
    return f" Run {run.run_id} is not live: it {OTHERS[run.status]}." if run.status in OTHERS else ""


def because(
    row: Segment, kind: Kind, choice: Choice, effect: Effect | None, *, measured: int, reference_day: date
) -> str:
    """Return a sentence: "27 orders, so segment 10-29: 2640 was used in 4,401 of 7,256 vouchers, 61 %, give or take 3
    points over 30 sends.". If the amount is drawn, or its outcomes are known, more sentences follow.
    """
    unit = kind.unit.removesuffix("s") if measured == 1 else kind.unit
    since = f" from {kind.since} to {reference_day}" if kind.since else ""
    found = f"{measured:,} {unit}{since}, so segment {row.segment}"
    return f"{found}: {_why(row)}.{_drawn(choice)}{_outcome(effect, choice)}"


def _why(row: Segment) -> str:
    if row.basis == "country":
        return f"it has no vouchers, so {row.amount} is the amount used most in all of {row.country_code}"
    share = f"{row.uses:,} of {row.rows:,} vouchers, {100 * (row.share or 0):.0f} %"
    other = None if row.runner_up_amount is None else json_number(row.runner_up_amount)
    if row.basis == "effect":
        more = "" if other is None else f"; {other} in {row.runner_up_uses or 0:,}"
        return f"{row.amount} is chosen by its effect. It was used in {share}{more}"
    tie = f"; {other} as often, and the smaller wins" if row.tied and other is not None else ""
    return f"{row.amount} was used in {share}{_how_sure(row)}{tie}"


def _how_sure(row: Segment) -> str:
    if row.sends is None:
        return ""
    if row.points is None:
        return "; too few sends to tell how sure that is"
    points = {0: "less than 1 point", 1: "1 point"}.get(round(row.points), f"{row.points:.0f} points")
    sure = f", give or take {points} over {row.sends:,} sends"
    if row.clear or row.tied or row.runner_up_amount is None:
        return sure
    return f"{sure}; not clear of {json_number(row.runner_up_amount)}"


def _drawn(choice: Choice) -> str:
    if choice.chosen_by == "table":
        return ""
    how = "by lottery" if choice.chosen_by == "lottery" else "because this customer is held out"
    return f" This customer gets {choice.amount} {how}; {float(100 * choice.propensity):.2g} % of the segment do."


def _outcome(effect: Effect | None, choice: Choice) -> str:
    if effect is None:
        return ""
    if effect.share is None or effect.share_low is None or effect.share_high is None:
        return f" What {choice.amount} does can't be told: {effect.refused}."
    low, high = (f"{100 * end:.0f}" for end in (effect.share_low, effect.share_high))
    redeemed = f" {100 * effect.share:.0f} % of the customers who got {choice.amount} redeemed it ({low} to {high} %)"
    if effect.evidence == "association":
        return f"{redeemed}; who got it was not left to chance, so that recommends nothing."
    than = json_number(effect.compared_with or Decimal(0))
    if effect.fewer:
        return f"{redeemed}; fewer than with {than}."
    if effect.further_cost is None:
        return f"{redeemed}."
    return f"{redeemed}; one more redemption than with {than} costs {money(effect.further_cost)}."
