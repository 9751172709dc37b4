"""What the page shows of outcomes and of the lottery, from memory: nothing if the run has none."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.page.filters import amount
from app.published.effects import Effect, Policy
from app.published.segment import Kind, Segment
from app.published.snapshot import Snapshot
from app.reports.effects import ORDER


@dataclass(frozen=True)
class TriedSegment:
    """A segment, and what each of its amounts did, smallest first."""

    row: Segment
    effects: Sequence[Effect]

    @property
    def association(self) -> bool:
        return any(effect.evidence == "association" for effect in self.effects)

    @property
    def shares(self) -> list[float]:
        """The shares redeemed that are known, smallest first."""
        return sorted(effect.share for effect in self.effects if effect.share is not None)


@dataclass(frozen=True)
class TriedKind:
    """A segment kind with its policies, and its segments that have outcomes."""

    kind: Kind
    policies: Sequence[Policy]
    segments: Sequence[TriedSegment]


def tried_kinds(run: Snapshot, country: str) -> list[TriedKind]:
    """Return the kinds with outcomes of a country, spelled as stored."""
    effects: dict[tuple[str, str], list[Effect]] = {}
    for effect in run.effects:
        if effect.country_code == country:
            effects.setdefault((effect.segment_name, effect.segment), []).append(effect)
    kinds = []
    for kind in run.kinds:
        name = kind.segment_name
        rows = [row for row in _segments(run, country) if row.segment_name == name]
        segments = [
            TriedSegment(row, sorted(found, key=lambda effect: effect.voucher_amount))
            for row in rows
            if (found := effects.get((name, row.segment)))
        ]
        policies = [each for each in run.policies if (each.country_code, each.segment_name) == (country, name)]
        policies.sort(key=lambda each: ORDER.index(each.policy))
        if segments:
            kinds.append(TriedKind(kind, policies, segments))
    return kinds


def lottery_line(run: Snapshot, country: str) -> str:
    """Return who gets an amount by lottery, in a sentence; "" if nobody does.

    All segments of a country have the same shares.
    """
    rows = _segments(run, country)
    lottery = run.lottery(rows[0]) if rows else None
    if lottery is None:
        return ""
    drawn, held = lottery.amounts("lottery"), lottery.amounts("holdout")
    of_drawn, of_held = (_percent(float(lottery.shares.get(how, 0))) for how in ("lottery", "holdout"))
    parts = []
    if drawn:
        which = f"draw one of {len(drawn)} amounts" if len(drawn) > 1 else f"get {amount(drawn[0])}"
        parts.append(f"{of_drawn} of customers {which} by lottery")
    if held:
        parts.append(f"{of_held}{'' if drawn else ' of customers'} always get {amount(held[0])}")
    return ", and ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}" + "\N{NO-BREAK SPACE}%"


def _segments(run: Snapshot, country: str) -> list[Segment]:
    found = [row for row in run.segments if row.country_code == country]
    return sorted(found, key=lambda row: (row.segment_name, row.position))
