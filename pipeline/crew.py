"""Who works on the parts: threads of this process or, with VOUCHER_DASK, the workers of a Dask cluster. Called by
`loading`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pipeline import PipelineError

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST_MEMORY = 256  # MiB, for a part
ANSWER_SECONDS = 30  # for a scheduler to answer, and for a worker to be there


class CrewAway(PipelineError):
    """The cluster doesn't answer, or no longer, or has no worker."""

    passing = True


@dataclass(frozen=True)
class Crew:
    """`size`: how many parts a process works on at the same time; `_finished`: begins a step for all items, and gives
    each beside its future as it gets done.
    """

    size: int
    _finished: Callable[..., Iterator[tuple[Any, Any]]]

    def each(
        self, step: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result | PipelineError]]:
        """Do the step for all items, side by side; each as it gets done, with what it gave, or what was wrong with it.

        Errors that pass, and those that aren't PipelineError, are raised, and no more items begun.
        """
        for item, future in self._finished(step, items):
            error = future.exception()
            if error and (not isinstance(error, PipelineError) or error.passing):
                raise error
            yield item, error or future.result()


@contextmanager
def crew(dask: str, memory: int) -> Iterator[Crew]:
    """The workers behind the scheduler at `dask`, or, where that is '', threads: as many as there are processors, if
    `memory` (MiB, for all parts together) gives each enough. Raises CrewAway.
    """
    if dask:
        with _cluster(dask) as cluster:
            yield cluster
    else:
        size = max(1, min(processors(), memory // LEAST_MEMORY))
        yield Crew(size, partial(_in_threads, size))


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_threads(size: int, step: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    pool = ThreadPoolExecutor(size, thread_name_prefix="part")
    try:
        futures = {pool.submit(step, item): item for item in items}
        for future in as_completed(list(futures)):
            yield futures.pop(future), future
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _cluster(address: str) -> Iterator[Crew]:
    import distributed  # noqa: PLC0415  (only where it is asked for)

    def finished(step: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        futures = dict(zip(client.map(step, items, pure=False), items, strict=True))
        for future in distributed.as_completed(list(futures), loop=client.loop):
            if future.cancelled():
                raise CrewAway(f"the Dask scheduler at {address} went away; run again: what is loaded stays so")
            if isinstance(future.exception(), distributed.KilledWorker):
                raise CrewAway(f"{address}: a part ended one worker after another; give them more memory")
            yield futures.pop(future), future

    try:
        client = distributed.Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise CrewAway(f"no Dask scheduler answers at {address} ({error}); check VOUCHER_DASK") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWER_SECONDS)
        except TimeoutError:
            raise CrewAway(
                f"the Dask scheduler at {address} has no worker; `dask worker {address}` starts one"
            ) from None
        yield Crew(max(client.nthreads().values()), finished)
