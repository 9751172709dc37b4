"""What an analyst defines, rules and segments, as plain data that `pipeline` and `app` compare (see `differences`)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A cleaning rule. drop_when is None for a built-in reason. share: lowest and highest expected, of all rows."""

    name: str
    drop_when: str | None
    because: str
    share: tuple[float, float]


@dataclass(frozen=True)
class Segment:
    """A label and its bounds, both inclusive; `upper` is None if there is no upper bound."""

    label: str
    lower: int
    upper: int | None
    title: str = ""

    @property
    def bounds(self) -> tuple[int, int | None]:
        return self.lower, self.upper


@dataclass(frozen=True)
class Kind:
    """A way to group customers: a measure and its segments, from 0 upwards without a gap."""

    name: str
    measure: str
    segments: tuple[Segment, ...]
    choose: str = "most_used"
    title: str = ""
    because: str = ""


@dataclass(frozen=True)
class Interval:
    """The longest run of numbers that is within one segment of both versions. A side is None if it has no segment."""

    lower: int
    upper: int | None
    old: Segment | None
    new: Segment | None

    @property
    def is_moved(self) -> bool:
        """Whether the two segments have different bounds."""
        return not (self.old and self.new) or self.old.bounds != self.new.bounds

    @property
    def label(self) -> str:
        """The label of the segment, if it is the same in each version that has it; else the bounds."""
        sides = {(each.label, *each.bounds) for each in (self.old, self.new) if each}
        label, *bounds = next(iter(sides))
        whole = len(sides) == 1 and bounds == [self.lower, self.upper]
        return str(label) if whole else bounds_text(self.lower, self.upper)


def intervals(old: Sequence[Segment], new: Sequence[Segment]) -> list[Interval]:
    """Return the common refinement of two versions of a kind's segments, from 0 upwards; either may have none."""
    starts = sorted({each.lower for each in (*old, *new)})
    ends = [*(start - 1 for start in starts[1:]), None]  # one more than there are starts if there are none
    return [
        Interval(start, end, _holding(start, old), _holding(start, new))
        for start, end in zip(starts, ends, strict=False)
    ]


def bounds_text(lower: int, upper: int | None) -> str:
    """Return bounds as a label: 14-37, 38+ or 0."""
    if upper is None:
        return f"{lower}+"
    return str(lower) if lower == upper else f"{lower}-{upper}"


def _holding(number: int, segments: Sequence[Segment]) -> Segment | None:
    return next((each for each in reversed(segments) if each.lower <= number), None)
