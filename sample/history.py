"""The synthetic history: invented rows whose counts are those published of the 511,427-row edition of the data.

The rows of each cell (cells.py) come first. Then every further attribute is dealt, like cards, to the rows of some
cells (attributes.py): `deal` gives exact counts, those that were published, and `draw` gives shares where nothing was
published. Last, each row gets dates that fit. `python -m tests.figures FILE` measures the result.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import SAMPLE_MARK
from sample.attributes import deal_segments, deal_tenures, deal_waits, number_orders
from sample.cells import BLANK, CELLS, DUPLICATES, TENURES
from sample.columns import History

SEED = 20210101  # of the sample that everyone gets


def sample(seed: int = SEED) -> pa.Table:
    """Return 511,427 rows with the column types of the later edition, times in UTC.

    `timestamp` and `last_order_ts` are text with `+00:00`, `first_order_ts` is timestamp[ns, UTC], `total_orders` text
    `12.0` or `''`, `voucher_amount` double or null. The same seed gives the same table.
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


def dates(h: History) -> tuple[NDArray[np.datetime64], NDArray[np.datetime64], NDArray[np.datetime64]]:
    """Return when each voucher was sent, its first and its last order.

    Vouchers are sent between 15 and 20 h UTC, which is the same date four hours further east.
    """
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
    """Return the row numbers in the order of the file: random, except that rows without an amount come in bursts."""
    place = h.rng.random(len(h.amount))
    null = np.flatnonzero(~h.paid)
    place[null] = h.rng.choice(h.rng.random(len(null) // 20), len(null))
    return np.argsort(place, kind="stable")


def write_sample(file: Path, seed: int = SEED) -> int:
    """Write sample(seed), marked as the sample, in a single row group. Return its number of rows."""
    history = sample(seed).replace_schema_metadata(dict([SAMPLE_MARK]))
    pq.write_table(history, file, compression="gzip", row_group_size=history.num_rows)
    return int(history.num_rows)
