"""The segment kinds of a run, and its answers: the amount of a segment, and the evidence for it."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from string import punctuation
from typing import Literal
from urllib.parse import quote

from app.published.lottery import Choice, json_number


@dataclass(frozen=True)
class Kind:
    """A row of voucher.kind: one way to group customers. Fields are named after its columns."""

    segment_name: str
    position: int
    measure: str
    field: str  # of a request; the measure is computed from it
    unit: str  # of the measure, plural; "days" are counted from the day in `field` to the reference day
    title: str
    because: str

    @property
    def since(self) -> str:
        """The event that days are counted from, such as "the last order"; "" if the measure is a number."""
        return f"the {self.field.removesuffix('_ts').replace('_', ' ')}" if self.unit == "days" else ""


@dataclass(frozen=True)
class Segment:
    """A row of voucher.segment with the names of its kind. Fields are named after its columns."""

    country_code: str
    segment_name: str
    segment: str
    position: int
    measure: str
    lower_bound: int
    upper_bound: int | None
    voucher_amount: Decimal
    uses: int
    rows: int
    runner_up_amount: Decimal | None
    runner_up_uses: int | None
    basis: Literal["segment", "country", "effect"]
    tied: bool
    sends: int | None = None  # None in runs of earlier versions
    share_low: float | None = None
    share_high: float | None = None
    clear: bool | None = None
    title: str | None = None  # for people
    kind_title: str = ""
    unit: str = ""  # of the bounds, plural
    mean_amount: Decimal | None = None  # of the segment's rows, to the cent; None without rows

    @cached_property
    def amount(self) -> int | float:
        return json_number(self.voucher_amount)

    @cached_property
    def choice(self) -> Choice:
        """The amount for every customer of the segment who draws nothing."""
        return Choice(self.voucher_amount)

    @cached_property
    def label(self) -> str:
        """The segment kind and label, such as `frequent_segment 10-29`, quoted for an HTTP header."""
        return quote(f"{self.segment_name} {self.segment}", safe=f" {punctuation.replace('%', '')}")

    @property
    def share(self) -> float | None:
        """The share of the segment's rows with this amount, to four digits; None if it has no rows."""
        return round(self.uses / self.rows, 4) if self.rows else None

    @property
    def points(self) -> float | None:
        """Half the width of the share's interval, in percentage points; None below 10 sends."""
        if self.share is None or self.share_low is None or self.share_high is None:
            return None
        return 100 * max(self.share - self.share_low, self.share_high - self.share)

    @property
    def certainty(self) -> Literal["effect", "guess", "tie", "unknown", "few", "clear", "unclear"]:
        """How sure the amount is, in a word. `unknown`: a run of an earlier version does not tell."""
        if self.basis != "segment":
            return "effect" if self.basis == "effect" else "guess"
        if self.sends is not None and self.points is None:
            return "few"
        if self.tied:
            return "tie"
        if self.sends is None:
            return "unknown"
        return "clear" if self.clear else "unclear"

    def holds(self, measured: int) -> bool:
        """Return whether the value is within the bounds. Both are inclusive; None is no upper bound."""
        return self.lower_bound <= measured and (self.upper_bound is None or measured <= self.upper_bound)


@dataclass(frozen=True)
class SingleAmount:
    """The one amount that matches most rows of a country, counted over the segments of a kind.

    `uses` of `rows` rows have it.
    """

    country_code: str
    segment_name: str
    voucher_amount: Decimal
    uses: int
    rows: int
