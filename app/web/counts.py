"""Share the request counts of all workers through files. Used by `metrics` and `health`.

PROMETHEUS_MULTIPROC_DIR names an empty folder that the main process creates. Each worker maps its files into memory,
where they survive even a kill -9, and any worker can sum them up. prometheus-client reads the variable when it is
imported. If it is unset, a process reports its own counts.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import structlog
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

log = structlog.get_logger()

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
TYPES = ("counter", "histogram")  # prometheus-client writes one file per type
BYTES = 1 << 20  # per file; 4,000 series take 650 kB, and there are fewer
UNREADABLE = (OSError, RuntimeError, ValueError, struct.error)  # what prometheus-client raises for an invalid file


@cache
def available() -> bool:
    """Return whether this process can count: its files exist and have all the space that they will need.

    If the disk had no space for a page of the mapped file, the kernel would end the process with SIGBUS.
    """
    if FOLDER is None:
        return True
    try:
        for name in TYPES:
            with Path(FOLDER, f"{name}_{os.getpid()}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, BYTES)
    except OSError as error:
        log.warning("requests are not counted", reason=f"{error.strerror}: {FOLDER}")
        return False
    return True


class SharedCounts(Collector):
    """Sums the counts of all workers, including those that have ended. Skips files that cannot be read."""

    def collect(self) -> Iterator[Metric]:
        files = [str(path) for path in sorted(Path(FOLDER or "").glob("*.db")) if _readable(path)]
        yield from MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]


def _readable(path: Path) -> bool:
    with suppress(*UNREADABLE):
        MultiProcessCollector.merge([str(path)])  # type: ignore[no-untyped-call]
        return True
    log.warning("a file of counts cannot be read", file=path.name)
    return False
