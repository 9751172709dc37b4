"""A separate process for what is timed: its memory can be measured alone, and its imports are done beforehand."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from dev.processes import StackError

P = ParamSpec("P")
T = TypeVar("T")


class WorkerProcess:
    """Calls module-level functions in the process. Raises what they raise, or StackError if the process died."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return self._pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise StackError(f"The process that ran {function.__qualname__} died; was there memory enough?") from error


@contextmanager
def worker_process(environ: Mapping[str, str], log: Path) -> Iterator[WorkerProcess]:
    """Start a process and stop it at the end. `environ` is added to this environment; its log goes to a file."""
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (environ, log)) as pool:
        yield WorkerProcess(pool)


def _prepare(environ: Mapping[str, str], log: Path) -> None:
    os.environ.update(environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", filename=log)
    logging.getLogger("botocore").setLevel(logging.WARNING)
