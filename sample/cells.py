"""What the sample reproduces: the published figures, and the tables that complete them where nothing was published.

CELLS holds the rows of each country and amount.
"""

import json
from pathlib import Path
from typing import NamedTuple

FIGURES = json.loads(Path(__file__).with_name("published_figures.json").read_text())
PERU = FIGURES["peru"]
NO_AMOUNT, BLANK, TO_DRAW = 0, -1, -2


class Cell(NamedTuple):
    """The rows of one country and amount; the shares say how they spread over the segments."""

    country: str
    amount: int
    rows: int
    recent: int = 0  # rows sent within 0-29 days of the last order
    waits: tuple[float, ...] = (0.3, 0.2, 0.5)  # shares of 30-60, 61-90 and 91-120 days
    orders: tuple[float, ...] = (0.7, 0.2, 0.06, 0.04)  # shares of 2-4, 5-13, 14-37 and 38+ orders


# Peru's cells are published. The rows of the other countries yield the published mean and deviation of the amount, and
# their shares make the most used amount differ between segments. Latvia has no row of 61-90 days: no history there.
CELLS = [
    *(Cell("Peru", NO_AMOUNT if amount == "null" else int(amount), n) for amount, n in PERU["amount_counts"].items()),
    Cell("China", NO_AMOUNT, 5900),
    Cell("China", 1760, 81137, 120, (0.65, 0.25, 0.10), (0.50, 0.25, 0.18, 0.07)),
    Cell("China", 3080, 8673, 20, (0.50, 0.20, 0.30), (0.45, 0.25, 0.20, 0.10)),
    Cell("China", 4400, 28303, 45, (0.50, 0.20, 0.30), (0.20, 0.20, 0.25, 0.35)),
    Cell("China", 5720, 9284, 20, (0.50, 0.20, 0.30), (0.45, 0.25, 0.20, 0.10)),
    Cell("China", 8800, 36425, 65, (0.20, 0.20, 0.60), (0.45, 0.25, 0.20, 0.10)),
    Cell("Australia", NO_AMOUNT, 9600),
    Cell("Australia", 1760, 7973, 60, (0.60, 0.20, 0.20), (0.35, 0.30, 0.20, 0.15)),
    Cell("Australia", 2200, 46827, 170, (0.60, 0.20, 0.20), (0.50, 0.30, 0.12, 0.08)),
    Cell("Australia", 3520, 7089, 70, (0.50, 0.20, 0.30), (0.40, 0.30, 0.20, 0.10)),
    Cell("Australia", 5720, 38229, 270, (0.30, 0.20, 0.50), (0.20, 0.20, 0.40, 0.20)),
    Cell("Australia", 11000, 24286, 150, (0.30, 0.50, 0.20), (0.30, 0.20, 0.10, 0.40)),
    Cell("Latvia", NO_AMOUNT, 117, 0, (0.35, 0.00, 0.65)),
    Cell("Latvia", 1540, 5153, 2, (0.35, 0.00, 0.65), (0.40, 0.30, 0.20, 0.10)),
    Cell("Latvia", 3080, 4788, 2, (0.35, 0.00, 0.65), (0.40, 0.30, 0.20, 0.10)),
    Cell("Latvia", 4400, 38695, 40, (0.65, 0.00, 0.35), (0.25, 0.30, 0.25, 0.20)),
    Cell("Latvia", 8800, 15662, 4, (0.35, 0.00, 0.65), (0.40, 0.25, 0.20, 0.15)),
    Cell("Latvia", 13200, 36739, 12, (0.30, 0.00, 0.70), (0.60, 0.25, 0.10, 0.05)),
]
SIZE = sum(cell.rows for cell in CELLS)
PERU_ONE_ORDER_4400 = 900  # published for 2640 and 3520 only
# Rows of 0-29 days by amount, with a number of orders and without. They yield the published mean and deviation of the
# amount over the rows that are not backdated.
PERU_RECENT = {0: (0, 1), 2640: (76, 5), 3520: (25, 0), 4400: (14, 0)}
OTHERS_ONE_ORDER_NULL = 300  # the published number contradicts Peru's 4,503 and 72,681: it would have to be negative
DUPLICATES = {  # country: amount, pairs
    "Peru": (4400, PERU["duplicates_removed"]), "China": (4400, 5), "Latvia": (4400, 3), "Australia": (5720, 2),
}  # fmt: skip

WAITS = {"back": (-9999, -1), "0-29": (0, 29), "30-60": (30, 60), "61-90": (61, 90), "91-120": (91, 120)}  # days
ORDERS = {"2-4": (2, 4, "1..3"), "5-13": (5, 13, "6..12"), "14-37": (14, 37, "15..36"), "38+": (38, 516, "")}
NEVER_USED = range(510, 515)  # as many different numbers of orders occur as were published
COMMON = {2: 3, 27: 5, 52: 5}  # the published quartiles of the number of orders stand out this many times
TENURES = {  # days from the first order to the last
    "same": (0, 0), "0-30_and_bucket_edges": (1, 30), "31..59": (31, 59), "62..89": (62, 89), "92..119": (92, 119),
    "122..179": (122, 179), ">180": (181, 1061), "long": (1200, 2500),
}  # fmt: skip
SAME_DATE_SHARE = 0.17  # outside Peru, unless there was one order
