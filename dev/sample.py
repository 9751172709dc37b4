"""A synthetic voucher history: invented rows whose counts are those published of the 511,427-row edition of the data.

`python -m dev.sample FILE` writes one; the one-machine stack seeds its S3 stand-in with it, and tests read it. With
--rows or --parts it writes as many rows as are asked for, as a folder of parts (parts.py).

How it is made: CELLS (country, amount, rows) come first. Then every further attribute is dealt, like cards, to the rows
of some cells: `deal` gives exact counts (the published ones, read from published_figures.json), `draw` only shares
(nothing was published). Last, each row gets an order number and dates that fit. `python -m tests.figures FILE`
measures the result.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import SAMPLE_MARK

FIGURES = json.loads(Path(__file__).with_name("published_figures.json").read_text())
PERU = FIGURES["peru"]
NO_AMOUNT, BLANK, TO_DRAW = 0, -1, -2


class Cell(NamedTuple):
    """Rows of one country and amount; shares say how they spread over the segments."""

    country: str
    amount: int
    rows: int
    recent: int = 0  # rows sent within 0-29 days of the last order
    waits: tuple[float, ...] = (0.3, 0.2, 0.5)  # shares of 30-60, 61-90 and 91-120 days
    orders: tuple[float, ...] = (0.7, 0.2, 0.06, 0.04)  # shares of 2-4, 5-13, 14-37 and 38+ orders


# Peru's cells are published. The other countries' rows solve the published mean and deviation of the amount, and their
# shares let the most used amount differ between segments. In Latvia nobody waited 61-90 days: no history there.
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
# Rows of 0-29 days by amount, with a number of orders and without. They solve the published mean and deviation of the
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


class History:
    """The rows as columns of equal length. A text names the cell, segment or bucket that a row was dealt."""

    def __init__(self, cells: list[Cell], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        counts = [cell.rows for cell in cells]
        self.country = np.repeat([cell.country for cell in cells], counts)
        self.amount = np.repeat([cell.amount for cell in cells], counts)
        self.peru, self.paid = self.country == "Peru", self.amount != NO_AMOUNT
        size = len(self.amount)
        self.segment = np.full(size, "", "<U5")  # of orders, where 0-4 is taken apart: blank, 0, 1, 2-4
        self.wait = np.full(size, "back", "<U7")  # of recency; back: backdated, so before the last order
        self.tenure, self.month = np.full(size, "", "<U21"), np.full(size, "", "<U7")
        self.orders, self.days = np.full(size, TO_DRAW), np.zeros(size, int)

    def deal(self, column: NDArray[Any], mask: NDArray[np.bool_], counts: Mapping[Any, int]) -> None:
        """Give exactly counts[v] of the masked rows the value v. Others keep theirs; too few rows raise ValueError."""
        chosen = self.rng.permutation(np.flatnonzero(mask))[: sum(counts.values())]
        column[chosen] = np.repeat(list(counts), list(counts.values()))

    def draw(self, column: NDArray[Any], mask: NDArray[np.bool_], shares: Mapping[Any, float]) -> None:
        """Give each masked row a value at random, in these proportions."""
        weights = np.array(list(shares.values()), float)
        column[mask] = self.rng.choice(list(shares), int(mask.sum()), p=weights / weights.sum())


def sample(seed: int = 20210101) -> pa.Table:
    """511,427 rows of the later edition's types, times in UTC. `timestamp` and `last_order_ts` are text with `+00:00`,
    `first_order_ts` timestamp[ns, UTC], `total_orders` text `12.0` or `''`, `voucher_amount` double or null.
    The same seed gives the same table.
    """
    h = History(CELLS, seed)
    deal_segments(h)
    deal_waits(h)
    deal_tenures(h)
    number_orders(h)
    timestamp, first, last = dates(h)
    zoned = "%Y-%m-%d %H:%M:%S+00:00"
    number = pc.binary_join_element_wise(pa.array(h.orders.astype(str)), "0", ".")
    history = pa.table({
        "timestamp": pc.strftime(pa.array(timestamp), zoned),
        "country_code": pa.array(h.country),
        "last_order_ts": pc.strftime(pa.array(last.astype("M8[s]")), zoned),
        "first_order_ts": pa.array(first.astype("M8[ns]"), pa.timestamp("ns", "UTC")),
        "total_orders": pc.if_else(pa.array(h.orders == BLANK), "", number),
        "voucher_amount": pa.array(h.amount.astype(float), mask=~h.paid),
    })  # fmt: skip
    return history.take(pa.array(file_order(h)))


def peru_segments(amount: str) -> dict[str, int]:
    """Rows of Peru with this amount ("0": none) by segment of orders."""
    more = {segment: counts[amount] for segment, counts in PERU["frequent_blank_as_zero_null_as_zero"].items()}
    few = more.pop("0-4")
    if amount == "0":
        # what the fourth rule drops after the other three; the rest of its matches have no amount
        two_dates = PERU["rows_not_null_not_blank"] - PERU["zero_orders_with_amount"] - PERU["kept_after_seed0_rules"]
        blank = PERU["blank_orders"] - PERU["blank_orders_with_amount"]
        zero = PERU["zero_orders"] - PERU["zero_orders_with_amount"]
        one = PERU["one_order_first_ne_last"] - two_dates
    else:
        blank = few - PERU["frequent_dropped_dedup"]["0-4"][amount]
        zero = PERU["zero_orders_by_amount"][amount]
        one = PERU.get(f"one_order_{amount}", PERU_ONE_ORDER_4400)
    return {"blank": blank, "0": zero, "1": one, "2-4": few - blank - zero - one, **more}


def deal_segments(h: History) -> None:
    for amount in (0, 2640, 3520, 4400):
        h.deal(h.segment, h.peru & (h.amount == amount), peru_segments(str(amount)))
    blank, value = FIGURES["total_orders"], FIGURES["total_orders"]["rows_by_value"]
    paid_zeros = FIGURES["total_orders"]["rows_with_amount_by_value"]["0.0"]
    everywhere = {
        True: {"blank": blank["blank_with_amount"], "0": paid_zeros},
        False: {"blank": blank["blank_and_null_amount"], "0": value["0.0"] - paid_zeros},
    }
    ones = value["1.0"] - int((h.segment == "1").sum())
    for paid, one in ((True, ones - OTHERS_ONE_ORDER_NULL), (False, OTHERS_ONE_ORDER_NULL)):
        here = h.paid == paid
        counts = {s: n - int((here & (h.segment == s)).sum()) for s, n in everywhere[paid].items()}
        h.deal(h.segment, ~h.peru & here, {**counts, "1": one})
    for cell in CELLS:
        here = (h.country == cell.country) & (h.amount == cell.amount) & (h.segment == "")
        h.draw(h.segment, here, dict(zip(ORDERS, cell.orders, strict=True)))


def deal_waits(h: History) -> None:
    """Deal segments of recency, then the days themselves. Who is dealt nothing stays backdated."""
    valid = PERU["recency_event_floor_days_dropped_dedup"]
    everyone = PERU["recency_event_calendar_days_utc_plus4_null_as_zero"]
    peru_days = {int(day): n for day, n in PERU["days_since_last_order_calendar_utc_plus4"].items()}
    for amount, (recent, recent_blank) in PERU_RECENT.items():
        here, key = h.peru & (h.amount == amount), str(amount)
        known = {segment: counts.get(key, 0) for segment, counts in valid.items()}
        known["91-120"] += DUPLICATES["Peru"][1] * (amount == DUPLICATES["Peru"][0])  # the figure leaves them out
        quarter = everyone["90-119"][key] - known["61-90"] - known["91-120"]
        month = everyone["30-59"][key] - known["30-60"]
        complete = h.paid & (h.segment != "blank")
        h.deal(h.wait, here & complete, {**known, "0-29": recent})
        h.deal(h.wait, here & ~complete, {"30-60": month, "quarter": quarter, "0-29": recent_blank})
    h.deal(h.wait, h.wait == "quarter", {"61-90": peru_days[90] - int((h.wait == "61-90").sum())})
    h.wait[h.wait == "quarter"] = "91-120"
    for cell in CELLS:
        if cell.country != "Peru":
            here = (h.country == cell.country) & (h.amount == cell.amount)
            h.draw(h.wait, here, dict(zip(list(WAITS)[2:], cell.waits, strict=True)))
            h.deal(h.wait, here, {"0-29": cell.recent})
    backdated = FIGURES["rows_last_order_after_timestamp"] - PERU["timestamp_before_last_order"]
    h.deal(h.wait, ~h.peru & (h.wait != "0-29"), {"back": backdated})
    for wait, (low, high) in WAITS.items():
        days = {day: n for day, n in peru_days.items() if low <= day <= high}
        h.deal(h.days, h.peru & (h.wait == wait), days)
        h.draw(h.days, ~h.peru & (h.wait == wait), days)


def deal_tenures(h: History) -> None:
    """Deal how long the first order lies before the last one, and the month of the voucher."""
    same_blank = PERU["blank_and_last_eq_first_not_null_dedup"]
    same = PERU["rows_last_order_eq_first_order_not_null_dedup"] - same_blank
    paid_once = h.peru & h.paid & (h.segment == "1")
    null_once = int((h.peru & ~h.paid & (h.segment == "1")).sum())
    same_once = int(paid_once.sum()) - (PERU["one_order_first_ne_last"] - null_once)
    h.deal(h.tenure, paid_once, {"same": same_once})
    h.deal(h.tenure, h.peru & h.paid & (h.segment == "blank"), {"same": same_blank})
    h.deal(h.tenure, h.peru & h.paid & ~np.isin(h.segment, ("1", "blank")), {"same": same - same_once})
    others = ~h.peru & (h.segment != "1")
    h.deal(h.tenure, others, {"same": round(SAME_DATE_SHARE * others.sum())})
    buckets = dict(PERU["last_minus_first_2640_by_bucket_open_interval"])
    published = h.peru & (h.amount == 2640)
    buckets["0-30_and_bucket_edges"] -= int((published & (h.tenure == "same")).sum())
    h.deal(h.tenure, published & (h.tenure == ""), buckets)
    h.draw(h.tenure, h.tenure == "", buckets)
    long = PERU["timestamp_before_last_order"] - PERU["timestamp_before_first_order"]
    h.deal(h.tenure, h.peru & (h.wait == "back") & (h.tenure == ">180"), {"long": long})
    for backdated in (True, False):
        here = (h.wait == "back") == backdated
        months = {m: n for m, n in PERU["events_by_month_utc_plus4"].items() if (m < "2018") == backdated}
        h.deal(h.month, h.peru & here, months)
        h.draw(h.month, ~h.peru & here, months)


def number_orders(h: History) -> None:
    """Give each row its number of orders: first those whose rows are published, the rest at random in the segment."""
    for segment, number in (("blank", BLANK), ("0", 0), ("1", 1)):
        h.orders[h.segment == segment] = number
    for segment, (_, high, inner) in list(ORDERS.items())[:3]:
        here = h.peru & (h.amount == 2640) & (h.segment == segment)
        inside = PERU["orders_2640_open_interval"][inner] - PERU["one_order_2640"] * (segment == "2-4")
        h.deal(h.orders, here, {high: int(here.sum()) - inside})
    paid = {int(float(n)): rows for n, rows in FIGURES["total_orders"]["rows_with_amount_by_value"].items()}
    fixed = {int(float(n)): rows for n, rows in FIGURES["total_orders"]["rows_by_value"].items() if float(n) > 1}
    for number, rows in fixed.items():
        here = ~h.peru & (h.segment == ("5-13" if number == 10 else "38+")) & (h.orders == TO_DRAW)
        h.deal(h.orders, here & h.paid, {number: paid[number]})
        h.deal(h.orders, here & ~h.paid, {number: rows - paid[number]})
    free = [n for n in range(2, 517) if n not in fixed and n not in NEVER_USED]
    largest = {NO_AMOUNT if a == "null" else int(a): n for a, n in PERU["max_orders_by_amount"].items()}
    many = h.paid & (h.segment == "38+") & (h.orders == TO_DRAW)
    h.deal(h.orders, ~h.peru & many, {n: 1 for n in free if n >= 38})  # each occurs at least once
    for amount, most in largest.items():
        h.deal(h.orders, h.peru & (h.amount == amount) & (h.segment == "38+"), {most: 1})
    for segment, (low, high, _) in ORDERS.items():
        undrawn = (h.segment == segment) & (h.orders == TO_DRAW)
        # of 2640, the numbers at a segment's edge are dealt already
        groups = [
            (h.peru & (h.amount == a), most, (4, 5, 13, 14, 37) if a == 2640 else ()) for a, most in largest.items()
        ]
        for here, most, edges in [*groups, (~h.peru, 516, ())]:
            numbers = [n for n in free if low <= n <= min(high, most) and n not in edges]
            # from 38 on the numbers thin out: about a quarter of Peru's rows has more than 52 orders, as published
            h.draw(h.orders, here & undrawn, {n: COMMON.get(n, 1) / max(n - 8, 30) ** 2 for n in numbers})


def dates(h: History) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64], NDArray[np.datetime64]]:
    """When the voucher was sent, first and last order. Sent at 15-20 h UTC: the same date four hours further east."""
    month = h.month.astype("M8[M]")
    start, end = month.astype("M8[D]"), (month + np.timedelta64(1, "M")).astype("M8[D]")
    day = start + (h.rng.random(len(month)) * (end - start).astype(int)).astype(int)
    last = day - h.days
    tenure = np.zeros(len(month), int)
    for name, (shortest, longest) in TENURES.items():
        here = h.tenure == name
        tenure[here] = h.rng.integers(shortest, longest + 1, int(here.sum()))
    timestamp = day.astype("M8[us]") + h.rng.integers(15 * 3_600_000_000, 20 * 3_600_000_000, len(day))
    first = last - tenure
    for country, (amount, pairs) in DUPLICATES.items():
        alike = (h.country == country) & (h.amount == amount) & (h.orders == 52) & (h.days == 92) & (h.tenure != "same")
        twins = h.rng.choice(np.flatnonzero(alike & (h.month == "2020-04")), (2, pairs), replace=False)
        for column in (timestamp, first, last):
            column[twins[1]] = column[twins[0]]
    return timestamp, first, last


def file_order(h: History) -> NDArray[np.intp]:
    """Row numbers in the file's order: at random, except that rows without an amount come in bursts."""
    place = h.rng.random(len(h.amount))
    null = np.flatnonzero(~h.paid)
    place[null] = h.rng.choice(h.rng.random(len(null) // 20), len(null))
    return np.argsort(place, kind="stable")


def write_sample(file: Path, seed: int = 20210101) -> int:
    """Write sample(seed), marked as one, in a single row group; how many rows it has."""
    history = sample(seed).replace_schema_metadata(dict([SAMPLE_MARK]))
    pq.write_table(history, file, compression="gzip", row_group_size=history.num_rows)
    return int(history.num_rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dev.sample", description="Write a synthetic voucher history as Parquet."
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a file; with --rows or --parts, a folder of parts")
    parser.add_argument(
        "--seed", type=int, default=20210101, help="of the first sample; the next ones count on (%(default)s)"
    )
    parser.add_argument("--rows", type=int, help=f"of all parts together ({SIZE:,})")
    parser.add_argument("--parts", type=int, help="how many (one for every 500,000 rows)")
    parser.add_argument("--mixed-editions", action="store_true", help="parts differ in their columns' types")
    args = parser.parse_args()
    if args.rows is None and args.parts is None:
        if args.mixed_editions:
            parser.error("--mixed-editions needs --rows or --parts: one file is of one edition")
        print(f"{write_sample(args.path, args.seed):,} rows written to {args.path}")
        return
    from dev.parts import write_parts  # noqa: PLC0415  (it needs tqdm, which the image that writes one file lacks)

    try:
        rows = SIZE if args.rows is None else args.rows
        paths = write_parts(args.path, rows, args.parts, seed=args.seed, mixed=args.mixed_editions)
    except ValueError as error:
        parser.error(str(error))
    print(f"{rows:,} rows written to {args.path}, in parts: {len(paths):,}")


if __name__ == "__main__":
    main()
