"""Show progress: a bar on a terminal, otherwise a line in the log every ten seconds. Called by `steps`."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger("pipeline")

EVERY = 10  # seconds

tqdm.set_lock(threading.RLock())  # its own is shared with other processes, and left behind by one that is killed


class Progress:
    """Parts done, and units (rows or bytes) done of `total`. Threads may share it."""

    def __init__(self, step: str, parts: int, total: int, unit: str, bar: "tqdm[Any]") -> None:
        self._step, self._parts, self._total, self._unit, self._bar = step, parts, total, unit, bar
        self._done, self._parts_done = 0.0, 0
        self._began = self._told = monotonic()
        self._lock = threading.Lock()

    def advance(self, units: float) -> None:
        with self._lock:
            self._done += units
            self._bar.update(units)
            if self._bar.disable and monotonic() - self._told >= EVERY:
                self._told = monotonic()
                log.info("%s", self)

    def part_done(self) -> None:
        with self._lock:
            self._parts_done += 1
            self._bar.set_description(f"{self._step}: {self._parts_done:,} of {self._parts:,} parts")

    def __str__(self) -> str:
        rate = self._done / max(monotonic() - self._began, 1e-9)
        left = tqdm.format_interval((self._total - self._done) / rate) if rate else "?"
        return (
            f"{self._step}: {self._parts_done:,} of {self._parts:,} parts, {self._done:,.0f} of {self._total:,} "
            f"{self._unit}, {rate:,.0f} {self._unit}/s, {left} left"
        )


@contextmanager
def progress(step: str, parts: int, total: int, unit: str = "rows") -> Iterator[Progress]:
    """Show the progress of `step` while the context lasts."""
    bar = tqdm(desc=step, total=total, unit=f" {unit}", unit_scale=True, leave=False, disable=not sys.stderr.isatty())
    with bar, logging_redirect_tqdm([logging.root] if not bar.disable else []):
        yield Progress(step, parts, total, unit, bar)
