"""What vouchers did, as a run published it. Fields are named after the columns of voucher.effect and voucher.policy."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

CENTS_BELOW = 100  # costs from here on are shown without decimals


def money(cost: float) -> str:
    """Format a cost for people, such as 14,185 or 0.65."""
    return f"{cost:,.{0 if abs(cost) >= CENTS_BELOW else 2}f}"


@dataclass(frozen=True)
class Effect:
    """What an amount did in a segment: an effect if all propensities are known, else an association.

    Shares are from 0 to 1; costs are in the unit of the amount. Without figures, `refused` says why.
    """

    country_code: str
    segment_name: str
    segment: str
    voucher_amount: Decimal
    known: int
    clusters: int
    evidence: Literal["effect", "association"]
    share: float | None
    share_low: float | None
    share_high: float | None
    cost: float | None
    compared_with: Decimal | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    further_cost: float | None
    refused: str | None

    @property
    def fewer(self) -> bool:
        """Whether clearly fewer customers redeem this amount than the one it is compared with."""
        return self.difference_high is not None and self.difference_high < 0


@dataclass(frozen=True)
class Policy:
    """What a way to choose amounts is worth: the share of customers who would redeem, and its cost a customer."""

    country_code: str
    segment_name: str
    policy: Literal["most used", "best by outcome", "uniform"]
    known: int
    clusters: int
    value: float | None
    value_low: float | None
    value_high: float | None
    cost: float | None
    refused: str | None
