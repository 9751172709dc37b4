"""The peak memory of a process, and of a server with its child processes. Used by `timed_runs`."""

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import psutil

EVERY = 0.2  # seconds
MIB = 2**20


def peak() -> float:
    """Return the peak memory of this process since its start, in MiB."""
    # Not resource.getrusage: its maximum starts at the memory of the parent.
    lines = Path("/proc/self/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kib) / 1024


class Watch:
    """Sample a process and its descendants, or only those, while the context lasts.

    `peak` is the most that they took at once, in MiB. Shared memory counts once.
    """

    def __init__(self, pid: int, itself: bool = True) -> None:
        self.peak = 0.0
        self._process, self._itself = psutil.Process(pid), itself
        self._ended, self._thread = Event(), Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, self._taken())
            if self._ended.wait(EVERY):
                return

    def _taken(self) -> float:
        taken, processes = 0, [self._process] if self._itself else []
        with suppress(psutil.NoSuchProcess):
            processes += self._process.children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it has ended
                taken += process.memory_full_info().pss
        return taken / MIB
