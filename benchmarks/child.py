"""A process of its own for what is timed, so that its memory is its own and nothing has to be imported any more."""

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


class Child:
    """Calls module-level functions over there. Raises what they raise, and StackError when the process died."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return self._pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise StackError(f"The process that ran {function.__qualname__} died; was there memory enough?") from error


@contextmanager
def child(environ: Mapping[str, str], log: Path) -> Iterator[Child]:
    """A new process, ended in the end; `environ` comes on top of this one's environment, and what it logs to a file."""
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (environ, log)) as pool:
        yield Child(pool)


def _prepare(environ: Mapping[str, str], log: Path) -> None:
    os.environ.update(environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", filename=log)
    logging.getLogger("botocore").setLevel(logging.WARNING)
