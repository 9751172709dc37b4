"""A history of many parts: each is read once, even if others change or fail.

If a part is added, replaced or removed, or a run is interrupted, the next run has the same answers as one that reads
all parts. If parts can't be read, all of them are named and nothing is published. Cleaned rows may go to S3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from tabulate import tabulate

from proofs.parts.scenarios import ADDED, CHANGED, REMOVED, REPLACED, broken, changed, cut_off, rows_in_s3
from proofs.parts.servers import Servers
from proofs.parts.trial import Fixtures, Result
from sample.parts import EDITIONS, edition, write_parts

ROWS, DAYS = 2_000_000, 365
BROKEN_ROWS, BROKEN_PARTS = 200_000, 2_000


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with Servers.open(folder) as servers:
        days = write_parts(folder / "days", ROWS, DAYS + 1)
        yield Fixtures(servers, days, write_parts(folder / "mixed", BROKEN_ROWS, BROKEN_PARTS, mixed=True))


def keys(_: Fixtures) -> list[tuple[str]]:
    return [(what,) for what in TRIALS]


def few() -> list[tuple[str]]:
    """Return all trials except the single changes that CHANGED combines."""
    return [(what,) for what in TRIALS if what not in {ADDED, REPLACED, REMOVED}]


def trial(fixtures: Fixtures, what: str) -> Result:
    return TRIALS[what](fixtures, what)


def mixed(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Write the first hundred rows of each part, in all editions in turn."""
    made = [folder / path.name for path in paths]
    for place, (path, to) in enumerate(zip(paths, made, strict=True)):
        few = pq.read_table(path).slice(0, 100)
        pq.write_table(edition(few, list(EDITIONS)[place % len(EDITIONS)]), to, compression="zstd")
    return made


TRIALS: Mapping[str, Callable[[Fixtures, str], Result]] = {
    **dict.fromkeys((ADDED, REPLACED, REMOVED, CHANGED), changed),
    "broken parts": broken,
    "rows in S3": rows_in_s3,
    "cut off": cut_off,
}


def table(results: Sequence[Result]) -> str:
    headers = ("", "parts", "rows", "seconds", "of the next run", "parts it read")
    lines = [(each.what, each.parts, each.rows, each.first, each.then, each.read) for each in results]
    return tabulate(lines, headers, floatfmt=".1f", intfmt=",")


def short(_: Sequence[Result]) -> list[str]:
    return []
