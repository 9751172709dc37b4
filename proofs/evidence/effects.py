"""The 95 % intervals of outcomes and policies cover the truth, and a history that misleads recommends nothing.

Thornton's vouchers are drawn by lottery; her villages are drawn anew, and the intervals have to cover the figures of
the whole data. A world is a history from a lottery with known redemption rates; its policies are valued by the SQL that
a run uses. A confounded history gives larger vouchers to customers who would redeem anyway.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from tabulate import tabulate

from pipeline.evaluate.by_outcome import effects
from pipeline.rules.sql.effects import EFFECTS, POLICIES, TRIED
from proofs.evidence import confounded
from proofs.evidence.simulated import AMOUNTS, SEGMENTS, World, policies_of_a_run, worlds
from sample.thornton import thornton

THORNTON, WORLDS, CONFOUNDED = "Thornton's villages", "worlds", "confounded"
RESAMPLES, SIZE, LEAST, LEAST_TOLD = 600, 500, 0.93, 0.9
BEST, SAME_ROWS = "best by outcome", "best, chosen on the rows that value it"
RATES = {  # of each amount, in each segment
    "rates far apart": [[0.10, 0.20, 0.30, 0.38]] * len(SEGMENTS),
    "rates 2 points apart": [[0.20, 0.22, 0.24, 0.26]] * len(SEGMENTS),
    "rates that are often equal": [
        *([0.20, 0.22, 0.24, 0.26], [0.20, 0.22, 0.22, 0.24], [0.22, 0.24, 0.24, 0.22], [0.20, 0.22, 0.24, 0.24])
    ],
    "rates that are all equal": [[0.2] * len(AMOUNTS)] * len(SEGMENTS),
}

EASY = ("rates far apart", "rates that are often equal")


@dataclass(frozen=True)
class Result:
    """covered: by what the intervals are of, how many are told, and how many of these cover the truth, as shares.

    said: what was found, in words.
    """

    what: str
    of: str
    samples: int
    covered: tuple[tuple[str, float, float], ...]
    said: str
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.what, self.of


@contextmanager
def fixtures(folder: Path) -> Iterator[None]:
    yield


def keys(fixtures: None) -> list[tuple[str, str]]:
    return [
        (THORNTON, "shares and differences"),
        *((WORLDS, rates) for rates in RATES),
        *((CONFOUNDED, gain) for gain in confounded.GAINS),
    ]


def few(fixtures: None) -> list[tuple[str, str]]:
    """Return fewer keys, the hardest ones among them."""
    return [key for key in keys(fixtures) if key[1] not in EASY]


def trial(fixtures: None, what: str, of: str, resamples: int = RESAMPLES, size: int = SIZE) -> Result:
    """Return how many of the intervals cover the truth, and what is wrong."""
    if what == CONFOUNDED:
        said, faults = confounded.trial(of)
        return Result(what, of, 1, (), said, tuple(faults))
    covered = _thornton(resamples) if what == THORNTON else _worlds(np.array(RATES[of]), size)
    few = [(name, told, share) for name, told, share in covered if min(told / LEAST_TOLD, share / LEAST) < 1]
    faults = [f"{name}: of {told:.1%}, {share:.1%} are covered" for name, told, share in few if name != SAME_ROWS]
    if what == WORLDS:
        faults += _as_a_run(np.array(RATES[of]))
    return Result(what, of, resamples if what == THORNTON else size, tuple(covered), "", tuple(faults))


def _thornton(resamples: int) -> list[tuple[str, float, float]]:
    people = thornton().reset_index(drop=True)
    whole, villages = effects(people), people.groupby("cluster").indices
    random = np.random.default_rng(7)
    names = list(villages)
    drawn = [
        (sample, place, village)
        for sample in range(resamples)
        for place, village in enumerate(random.integers(0, len(names), len(names)))
    ]
    rows = people.iloc[np.concatenate([villages[names[village]] for _, _, village in drawn])]
    sizes = [len(villages[names[village]]) for _, _, village in drawn]
    sample, place = (np.repeat([each[part] for each in drawn], sizes) for part in (0, 1))
    found = effects(rows.assign(sample=sample, cluster=place).reset_index(drop=True), by=["sample"]).reset_index()
    truth = found["voucher_amount"].map(whole["share"]), found["voucher_amount"].map(whole["difference"])
    covered = []
    for name, true in zip(("share", "difference"), truth, strict=True):
        inside = found[f"{name}_low"].le(true) & found[f"{name}_high"].ge(true)
        told = found[f"{name}_low"].notna()[true.notna()]
        by_group = inside[true.notna()][told].groupby(found["voucher_amount"]).mean()
        covered.append((f"{name}s", float(told.mean()), float(by_group.mean())))
    return covered


def _worlds(rates: np.ndarray, size: int) -> list[tuple[str, float, float]]:
    """Return how often the interval of each policy covers the true value of the policy.

    The truth of "best by outcome" is that of the amounts with the highest shares of the world's rows.
    """
    many = worlds(rates, size)
    with duckdb.connect() as connection:
        policies, same_rows, best = _policies(connection, many)
    true = pd.DataFrame(
        {
            "most used": many.value(rates, many.planned),
            BEST: many.value(rates, best),
            "uniform": many.value(rates.mean(1, keepdims=True), np.zeros_like(best)),
        }
    )
    covered = [(name, *_covered(policies[policies["policy"] == name], true[name])) for name in map(str, true)]
    return [*covered, (SAME_ROWS, *_covered(same_rows, true[BEST]))]


def _covered(found: pd.DataFrame, true: "pd.Series[float]") -> tuple[float, float]:
    rows = found.set_index("country_code").sort_index()
    told, inside = rows["value"].notna(), rows["value_low"].le(true) & rows["value_high"].ge(true)
    return float(told.sum() / len(true)), float(inside[told].mean())


def _policies(connection: duckdb.DuckDBPyConnection, many: World) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return each world's policies, the best amounts valued on the rows that chose them, and these amounts' places."""
    connection.execute("SET enable_progress_bar = false")
    connection.register("placed", many.placed())
    connection.execute(f"CREATE TABLE tried AS {TRIED}")
    connection.execute(f"CREATE TABLE effects AS {EFFECTS}")
    connection.register("most_used", many.answers(many.planned))
    policies = connection.sql(POLICIES).df()
    effects = connection.sql("FROM effects").df()
    shares = effects.pivot(index=["country_code", "segment"], columns="voucher_amount", values="share")
    best = np.stack([shares.xs(label, level="segment").to_numpy().argmax(1) for label in SEGMENTS], 1)
    connection.unregister("most_used")
    connection.register("most_used", many.answers(best))
    same_rows = connection.sql(f"FROM ({POLICIES}) WHERE policy = 'most used'").df()
    return policies, same_rows, best


def _as_a_run(rates: np.ndarray) -> list[str]:
    """Return how the figures of a world differ from those that a run publishes of the same rows."""
    one = worlds(rates, 1)
    with duckdb.connect() as connection:
        found = _policies(connection, one)[0].set_index("policy").sort_index()
    published = policies_of_a_run(one)
    columns = ["value", "value_low", "value_high", "cost"]
    off = (found[columns] - published[columns]).abs().max().max()
    return [] if off < 1e-6 else [f"a run publishes other values than these: {published[columns].to_dict()}"]


def table(results: Sequence[Result]) -> str:
    lines = [
        (each.what, each.of, f"{each.samples:,}", name, f"{told:.1%}", f"{share:.1%}")
        for each in results
        for name, told, share in each.covered
    ]
    said = [f"{each.what}, {each.of}: {each.said}" for each in results if each.said]
    return "\n".join(
        [tabulate(lines, ("", "", "samples", "intervals of", "told", "covered"), disable_numparse=True), "", *said]
    )


def short(results: Sequence[Result]) -> list[str]:
    """Return whether the comparison proves nothing: choosing and valuing on the same rows has to fail in hard cases."""
    same = [share for each in results for name, _, share in each.covered if name == SAME_ROWS]
    return [] if not same or min(same) < LEAST else ["no world is hard: choosing on the rows that value covers too"]
