"""The rules and segments of a run, as they are recorded. Called by `changes` and the command `dropped`."""

from collections.abc import Sequence
from typing import Any

from pipeline.rules import rulebook
from pipeline.rules.rulebook import RuleBook
from shared.definitions import Kind, Rule, Segment

BOUNDS = """SELECT DISTINCT segment_name, position, segment, lower_bound, upper_bound FROM voucher.segment
  WHERE run_id = %s ORDER BY segment_name, position"""


def rules(cursor: Any, run_id: str) -> list[Rule]:
    """Return the built-in reasons and the rules of a run, in their order."""
    cursor.execute(
        "SELECT name, drop_when, because, share_low, share_high FROM voucher.rule WHERE run_id = %s ORDER BY position",
        (run_id,),
    )
    return [Rule(name, drop_when, because, (low, high)) for name, drop_when, because, low, high in cursor.fetchall()]


def rule_book(cursor: Any, run_id: str) -> RuleBook:
    """Return the rules of a run, ready to be applied. Its hash is that of the run if this software made it."""
    found = rules(cursor, run_id)
    own = tuple(rulebook.Rule(each.name, each.drop_when, each.because, each.share) for each in found if each.drop_when)
    return RuleBook(own, next((each.share for each in found if not each.drop_when), (0.0, 0.0)))


def kinds(cursor: Any, run_id: str) -> list[Kind]:
    """Return the kinds of a loaded run with their segments, in their order."""
    cursor.execute(BOUNDS, (run_id,))
    segments: dict[str, list[Any]] = {}
    for row in cursor.fetchall():
        segments.setdefault(row.segment_name, []).append(row)
    cursor.execute("SELECT * FROM voucher.kind WHERE run_id = %s ORDER BY position", (run_id,))
    return [_kind(row, segments.get(row.segment_name, [])) for row in cursor.fetchall()]


def _kind(row: Any, bounds: Sequence[Any]) -> Kind:
    segments = tuple(
        Segment(each.segment, each.lower_bound, each.upper_bound, row.segment_titles.get(each.segment, ""))
        for each in bounds
    )
    return Kind(row.segment_name, row.measure, segments, row.choose, row.title, row.because)
