"""The tables that the benchmarks of the pipeline print."""

from collections.abc import Mapping, Sequence

from tabulate import tabulate

Row = Mapping[str, str]


def show(rows: Sequence[Row]) -> None:
    """Print a table. The keys of the first row are the names of the columns."""
    right = ("left", *("right" for _ in list(rows[0])[1:]))
    print(tabulate(rows, headers="keys", disable_numparse=True, colalign=right), "\n", flush=True)


def verdict(name: str, wanted: str, measured: str, met: bool) -> Row:
    return {"": name, "wanted": wanted, "measured": measured, "verdict": "met" if met else "NOT MET"}
