"""Outcomes and a lottery for runs that are written as rows: of Peru, one effect, one association, one refusal."""

from decimal import Decimal
from typing import Any

from app.published.effects import Effect, Policy
from app.published.lottery import Draw
from tests.app.conftest import KINDS

SALT = "spring 2027"


def effect(amount: Decimal | int, segment: str = "0-4", **columns: Any) -> Effect:
    """Return the effect of an amount in a segment of Peru, with an interval of 3.3 points for its share."""
    share = columns.get("share", 0.30123)
    ends = {"share_low": share - 0.01667, "share_high": share + 0.01666} if share else {}
    usual: dict[str, Any] = {
        **{"country_code": "Peru", "segment_name": "frequent_segment", "known": 1234, "clusters": 31},
        **{"evidence": "effect", "share": share, "cost": 301.234},
        **{"compared_with": None, "difference": None, "difference_low": None, "difference_high": None},
        **{"further_cost": None, "refused": None},
    }
    return Effect(segment=segment, voucher_amount=Decimal(amount), **usual | ends | columns)


def refused(amount: Decimal | int, segment: str, why: str, **columns: Any) -> Effect:
    figures: dict[str, Any] = dict.fromkeys(("share", "share_low", "share_high", "cost"))
    return effect(amount, segment, **figures, refused=why, **columns)


def policy(name: Any, value: float | None = None, why: str | None = None, **columns: Any) -> Policy:
    usual: dict[str, Any] = {"country_code": "Peru", "segment_name": "frequent_segment", "known": 2000, "clusters": 31}
    figures = {"value": value, "value_low": value and value - 0.01, "value_high": value and value + 0.01}
    return Policy(policy=name, **usual | figures | {"cost": value and 1000 * value, "refused": why} | columns)


MORE = {"compared_with": Decimal(1000), "difference_low": 0.01, "difference_high": 0.09}
EFFECTS = [
    effect(1500, share=0.35, cost=525.0, **MORE, difference=0.04877, further_cost=4588.298),
    effect(1000),
    effect(1100, "5-13", evidence="association"),
    refused(2200, "5-13", "only 3 of the 10 clusters needed", evidence="association", clusters=3, known=3),
    effect(1200, "14-37", share=0.2),
    effect(
        1250, "14-37", share=0.21, **MORE | {"compared_with": Decimal(1200), "difference_low": -0.01}, difference=0.01
    ),
    effect(1300, "38+", share=0.4),
    effect(
        1301,
        "38+",
        share=0.3,
        **{"compared_with": Decimal(1300), "difference": -0.1, "difference_low": -0.15, "difference_high": -0.05},
    ),
]
POLICIES = [
    policy("uniform", 0.25),
    policy("best by outcome", why="worth only 7 of the 100 customers needed"),
    policy("most used", 0.31416),
]


def draws(
    country: str = "Peru", drawn: tuple[int, ...] = (1000, 1500, 2500, 3500, 4500), held: int | None = 900
) -> list[Draw]:
    """Return the draws of a country, as a lottery of 6 % and a holdout of 2 % give: a place is 1 / 50 / len(drawn)."""
    rows = []
    for kind, (_, bounds) in KINDS.items():
        for label, _, _, amount in bounds:
            stretches: list[tuple[Any, Any, int]] = []
            if held is not None:
                stretches.append(("holdout", held, len(drawn) or 1))
            stretches += [("lottery", each, 3) for each in drawn]
            total = 50 * (len(drawn) or 1)
            stretches.append(("table", amount, total - sum(tickets for *_, tickets in stretches)))
            rows += [
                Draw(country, kind, label, position, how, Decimal(given), tickets, SALT)
                for position, (how, given, tickets) in enumerate(stretches)
            ]
    return rows
