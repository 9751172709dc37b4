"""A synthetic history of any length, as a folder of Parquet parts: `python -m sample FOLDER --rows 20000000`.

Its rows are those of consecutive samples, each with the next seed. The same arguments give the same bytes.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from pipeline import SAMPLE_MARK
from sample.cells import SIZE
from sample.history import SEED, sample

PART_ROWS = 500_000
GROUP_ROWS = 122_880  # as DuckDB writes them


def write_parts(
    folder: Path,
    rows: int,
    parts: int | None = None,
    *,
    seed: int = SEED,
    mixed: bool = False,
    processes: int | None = None,
) -> list[Path]:
    """Write `rows` rows as part-00000.parquet and so on, in sizes that differ by at most one row. Return their paths.

    Without `parts`, each has at most PART_ROWS rows. mixed: each part has the next of EDITIONS. processes: how many
    make samples, each in 400 MB; by default one per CPU. Raise ValueError if there are fewer rows than parts, or if
    the folder has parts already.
    """
    parts = max(1, -(-rows // PART_ROWS)) if parts is None else parts
    if not 1 <= parts <= rows:
        raise ValueError(f"{rows:,} rows don't make {parts:,} parts")
    folder.mkdir(parents=True, exist_ok=True)
    if there := next(folder.glob("part-*.parquet"), None):
        raise ValueError(f"{there} is there already and would be mistaken for one of the new parts; delete it")
    sizes = [rows // parts + (number < rows % parts) for number in range(parts)]
    editions = list(EDITIONS) if mixed else ["later"]
    paths = []
    with tqdm(total=rows, unit=" rows", unit_scale=True, desc=folder.name, disable=None) as progress:
        for number, part in enumerate(_sliced(_samples(seed, rows, processes or os.cpu_count() or 1), sizes)):
            paths.append(folder / f"part-{number:05}.parquet")
            table = edition(part, editions[number % len(editions)]).replace_schema_metadata(dict([SAMPLE_MARK]))
            pq.write_table(table, paths[-1], compression="zstd", row_group_size=GROUP_ROWS)
            progress.update(part.num_rows)
    return paths


def edition(table: pa.Table, which: str) -> pa.Table:
    """Return rows of sample() with the types of another edition of the data, one of EDITIONS; their meaning stays."""
    return EDITIONS[which](table)


def _samples(seed: int, rows: int, processes: int) -> Iterator[pa.Table]:
    """Yield consecutive samples that together hold `rows` rows, in order. Each process works at most one ahead."""
    seeds = iter(range(seed, seed - (-rows // SIZE)))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        made = deque(pool.submit(sample, each) for each in islice(seeds, processes))
        while made:
            yield made.popleft().result()
            made.extend(pool.submit(sample, each) for each in islice(seeds, 1))


def _sliced(tables: Iterator[pa.Table], sizes: list[int]) -> Iterator[pa.Table]:
    """Yield the rows of the tables, in order, as tables of these sizes."""
    left = next(tables)
    for size in sizes:
        pieces = [left]
        while sum(piece.num_rows for piece in pieces) < size:
            pieces.append(next(tables))
        whole = pa.concat_tables(pieces)
        left = whole.slice(size)
        yield whole.slice(0, size)


def _earlier(table: pa.Table) -> pa.Table:
    """Remove the time zones, and the time of last orders."""
    first = table["first_order_ts"].cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms"))
    zoneless = {
        "timestamp": pc.replace_substring_regex(table["timestamp"], r"\+00:00$", ""),
        "last_order_ts": pc.replace_substring_regex(table["last_order_ts"], r"( 00:00:00)?\+00:00$", ""),
        "first_order_ts": first,
    }
    return _replaced(table, zoneless)


def _indexed(table: pa.Table) -> pa.Table:
    """Add the row numbers, as pandas writes them."""
    return table.append_column("index", pa.array(np.arange(table.num_rows)))


def _zoned(table: pa.Table) -> pa.Table:
    """Convert times from text to timestamps."""
    times = ("timestamp", "last_order_ts")
    return _replaced(table, {name: table[name].cast(pa.timestamp("us", "UTC")) for name in times})


def _replaced(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    return pa.table({name: columns.get(name, table[name]) for name in table.column_names})


EDITIONS: Mapping[str, Callable[[pa.Table], pa.Table]] = {
    "later": lambda table: table,
    "earlier": _earlier,
    "indexed": _indexed,
    "zoned": _zoned,
}
