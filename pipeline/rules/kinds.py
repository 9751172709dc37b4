"""The segment kinds: how each groups customers by one measure. `segments` reads and writes their file."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from numbers import Integral

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from pipeline import PipelineError
from pipeline.rules import tomlfile
from pipeline.rules.measures import MEASURES, Measure
from pipeline.rules.sql.effects import CHOOSE
from pipeline.rules.sql.tallies import RESERVED
from shared.definitions import bounds_text

BOUNDS = re.compile(r"(\d+)(?:\s*[-\u2013]\s*(\d+)|\s*\+)")  # a label that says which measures it is for


class SegmentError(PipelineError):
    """Segments that can't be used."""


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Segment:
    """A label and its bounds in the kind's unit, both inclusive; `upper` is None if there is no upper bound.

    title: a name for people, or ''.
    """

    label: str
    lower: StrictInt = Field(validation_alias="from")
    upper: StrictInt | None = Field(default=None, validation_alias="to")
    title: str = ""


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Kind:
    """One way to group customers: a measure and its segments, from 0 upwards without a gap.

    choose: how a segment's amount is found; one of CHOOSE. title: a name for people. because: the analyst's reason.
    """

    name: str
    measure: str
    segments: tuple[Segment, ...]
    choose: str = "most_used"
    title: str = ""
    because: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.name):
            raise SegmentError(f"kind {self.name!r} is not lower-case words joined by _; e.g. frequent_segment")
        if self.name in RESERVED:
            raise SegmentError(f"kind {self.name}: the name is reserved; use another one, e.g. {self.name}_segment")
        if self.measure not in MEASURES:
            raise SegmentError(f"kind {self.name}: measure {_unknown(self.measure, MEASURES)}")
        if self.choose not in CHOOSE:
            raise SegmentError(f"kind {self.name}: choose {_unknown(self.choose, CHOOSE)}")
        expected: int | None = 0
        for segment in self.segments:
            if segment.lower != expected:
                found = f"segment {segment.label} starts at {segment.lower}, not at {expected}"
                raise SegmentError(f"kind {self.name}: {found}")
            if segment.upper is not None and segment.upper < segment.lower:
                raise SegmentError(f"kind {self.name}: segment {segment.label} ends before it starts")
            expected = None if segment.upper is None else segment.upper + 1
        if expected is not None:
            raise SegmentError(f"kind {self.name}: the last segment has an upper bound; remove its `to`")
        labels = [segment.label for segment in self.segments]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise SegmentError(f"kind {self.name}: two segments have the same label, {twice[0]!r}")

    @property
    def measured(self) -> Measure:
        """The measure itself."""
        return MEASURES[self.measure]

    def placed(self) -> str:
        """Return SQL for the label of the row's segment; NULL if it has none (no measure, or a negative one)."""
        measure = self.measured.sql
        whens = (f"WHEN {measure} >= {segment.lower} THEN {text(segment.label)}" for segment in reversed(self.segments))
        return f'CASE {" ".join(whens)} END AS "{self.name}"'


def from_cuts(
    cuts: Sequence[int], labels: Sequence[str] | None = None, titles: Mapping[str, str] | None = None
) -> tuple[Segment, ...]:
    """Return the segments that start at 0 and at each cut. Without labels, a segment is named by its bounds.

    titles: names for people, by label. Raises SegmentError with the cut or label and the remedy.
    """
    for cut in cuts:
        if not isinstance(cut, Integral) or isinstance(cut, bool) or cut < 1:
            raise SegmentError(f"cut {cut!r} is not a whole number of at least 1; the first segment always starts at 0")
    for one, other in pairwise(cuts):
        if one >= other:
            raise SegmentError(f"cut {other} comes after {one}; write the cuts in increasing order, each once")
    bounds: list[tuple[int, int | None]] = [
        *zip([0, *map(int, cuts)], [*(int(cut) - 1 for cut in cuts), None], strict=True)  # both inclusive
    ]
    named = [bounds_text(*each) for each in bounds] if labels is None else [*labels]
    if len(named) != len(bounds):
        raise SegmentError(f"{len(cuts)} cuts make {len(bounds)} segments, but there are {len(named)} labels")
    for label, (lower, upper) in zip(named, bounds, strict=True):
        if not isinstance(label, str) or not label.strip():
            raise SegmentError(f"label {label!r} is not a text")
        # N+ may mean "N or more" or "more than N".
        if (found := BOUNDS.fullmatch(label)) and (
            (int(found[2]), int(found[1])) != (upper, lower)
            if found[2]
            else upper is not None or int(found[1]) not in {lower, lower - 1}
        ):
            raise SegmentError(
                f"label {label!r} does not match its bounds, {bounds_text(lower, upper)}; change the label or the cuts"
            )
    titles = titles or {}
    for label in titles:
        if label not in named:
            raise SegmentError(f"titles: label {_unknown(label, named)}")
    return tuple(Segment(label, *each, titles.get(label, "")) for label, each in zip(named, bounds, strict=True))


def _unknown(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"{name!r} is not one of {', '.join(known)}{f'; did you mean {near[0]}?' if near else ''}"


def text(value: str) -> str:
    """Return SQL for a text."""
    return "'" + value.replace("'", "''") + "'"
