"""A history whose plan gives the larger voucher to customers who would redeem anyway. Used by the proof `effects`."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluate.totals import Results
from pipeline.rules.sql.effects import NOT_CHANCE
from proofs.evidence.simulated import DAYS, run

GAINS = {"the larger voucher does nothing": 0.0, "the larger voucher gains 8 points": 0.08}
ROWS, SMALL, LARGE = 30_000, 1000, 3000
LOYAL, LARGE_IF_LOYAL, LARGE_ELSE = 0.35, 0.8, 0.2  # the share of loyal customers, and of large vouchers among them
RATE_IF_LOYAL, RATE_ELSE = 0.5, 0.15  # who redeem the small voucher
CHOICES = ("cheapest_effect", "best_effect")


def history(gain: float) -> pd.DataFrame:
    """Return the rows, with the true propensities."""
    random = np.random.default_rng(3)
    loyal = random.random(ROWS) < LOYAL
    chance = np.where(loyal, LARGE_IF_LOYAL, LARGE_ELSE)
    large = random.random(ROWS) < chance
    rate = np.where(loyal, RATE_IF_LOYAL, RATE_ELSE) + gain * large
    return pd.DataFrame(
        {
            "day": random.integers(0, DAYS, ROWS),
            "orders": random.choice([2, 20], ROWS),
            "voucher_amount": np.where(large, LARGE, SMALL).astype(float),
            "redeemed": random.random(ROWS) < rate,
            "propensity": np.where(large, chance, 1 - chance),
        }
    )


def trial(name: str) -> tuple[str, list[str]]:
    """Return what was found in words, and what is wrong."""
    gain, rows = GAINS[name], history(GAINS[name])
    plain, without = _answers(run(rows)), rows.drop(columns="propensity")
    one_missing = rows.assign(propensity=rows["propensity"].mask(np.arange(ROWS) == 0))
    found = run(without)
    faults = [f"without propensities: {fault}" for fault in _associations(found)]
    in_one = [row["evidence"] for row in run(one_missing).tables["effect"].to_pylist()]
    if sorted(in_one) != ["association"] * 2 + ["effect"] * 2:
        faults.append(f"with one propensity missing: {in_one}, not the association of one segment")
    for choose in CHOICES:
        if _answers(run(without, choose)) != plain:
            faults.append(f"without propensities, {choose} answers otherwise than the most used amounts")
        wanted = {segment: LARGE if gain and segment in ("0-4", "14-37") else SMALL for segment in plain}
        if (answers := _answers(run(rows, choose))) != wanted:
            faults.append(f"with propensities, {choose} answers {answers}, not {wanted}")
    effects = _of_large(run(rows))
    faults += [fault for row in effects for fault in _effect(row, gain)]
    seen = [row["difference"] for row in _of_large(found)]
    told = ", ".join(
        f"{row['difference']:+.1%} ({row['difference_low']:+.1%} to {row['difference_high']:+.1%})" for row in effects
    )
    return f"associations of {', '.join(f'{each:+.1%}' for each in seen)} choose nothing; effects of {told}", faults


def _answers(results: Results) -> dict[str, int]:
    return {row["segment"]: int(row["voucher_amount"]) for row in results.tables["segment"].to_pylist()}


def _of_large(results: Results) -> list[dict[str, Any]]:
    rows = [row for row in results.tables["effect"].to_pylist() if row["voucher_amount"] == LARGE]
    return sorted(rows, key=lambda row: str(row["segment"]))


def _associations(found: Results) -> list[str]:
    effects, policies = (found.tables[name].to_pylist() for name in ("effect", "policy"))
    faults = [f"{row['voucher_amount']} is an {row['evidence']}" for row in effects if row["evidence"] != "association"]
    faults += [f"a redemption costs {row['further_cost']}" for row in effects if row["further_cost"] is not None]
    large = [row["difference_low"] for row in _of_large(found)]
    if not large or min(large) < 0.1:
        faults.append(f"the differences from {large} mislead nobody: the history is not confounded")
    if {row["refused"] for row in policies} != {NOT_CHANCE} or len(policies) != 3:
        faults.append(f"policies are not refused: {policies}")
    return faults + [f"{row['policy']} has a value" for row in policies if row["value"] is not None]


def _effect(row: dict[str, Any], gain: float) -> list[str]:
    low, high, cost = (row[name] for name in ("difference_low", "difference_high", "further_cost"))
    faults = [f"{row['segment']} is an {row['evidence']}"] * (row["evidence"] != "effect")
    faults += [f"{row['segment']}: {low:+.1%} to {high:+.1%} does not cover {gain:+.1%}"] * (not low <= gain <= high)
    return faults + [f"{row['segment']}: a further redemption costs {cost}"] * (
        (cost is None) is not (low <= 0 <= high)
    )
