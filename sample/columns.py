"""The columns of the sample while it is made, and the two ways to fill them: exact counts, and random shares."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sample.cells import NO_AMOUNT, TO_DRAW, Cell


class History:
    """The rows as columns of equal length. A text is the name of the segment, bucket or month that a row got."""

    def __init__(self, cells: list[Cell], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        counts = [cell.rows for cell in cells]
        self.country = np.repeat([cell.country for cell in cells], counts)
        self.amount = np.repeat([cell.amount for cell in cells], counts)
        self.peru, self.paid = self.country == "Peru", self.amount != NO_AMOUNT
        size = len(self.amount)
        self.segment = np.full(size, "", "<U5")  # of orders, with 0-4 split into blank, 0, 1, 2-4
        self.wait = np.full(size, "back", "<U7")  # of recency; back: backdated, sent before the last order
        self.tenure, self.month = np.full(size, "", "<U21"), np.full(size, "", "<U7")
        self.orders, self.days = np.full(size, TO_DRAW), np.zeros(size, int)

    def deal(self, column: NDArray[Any], mask: NDArray[np.bool_], counts: Mapping[Any, int]) -> None:
        """Give exactly counts[v] of the masked rows the value v; the others keep theirs. ValueError: too few."""
        chosen = self.rng.permutation(np.flatnonzero(mask))[: sum(counts.values())]
        column[chosen] = np.repeat(list(counts), list(counts.values()))

    def draw(self, column: NDArray[Any], mask: NDArray[np.bool_], shares: Mapping[Any, float]) -> None:
        """Give each masked row a random value, in these proportions."""
        weights = np.array(list(shares.values()), float)
        column[mask] = self.rng.choice(list(shares), int(mask.sum()), p=weights / weights.sum())
