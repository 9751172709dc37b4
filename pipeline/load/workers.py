"""Run a step on many parts: in threads of this process or, with VOUCHER_DASK, in the workers of a Dask cluster."""

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

MIN_MEMORY = 256  # MiB for a part
TIMEOUT = 30  # seconds until the scheduler answers, and until it has a worker


class ClusterUnavailable(PipelineError):
    """The cluster doesn't answer, has no worker, or was lost."""

    retryable = True


@dataclass(frozen=True)
class WorkerPool:
    """Workers that run a step on many items.

    size: how many parts one process works on at the same time; _finished: starts a step for all items, and yields each
    with its future once it is done.
    """

    size: int
    _finished: Callable[..., Iterator[tuple[Any, Any]]]

    def map(
        self, step: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result | PipelineError]]:
        """Run the step for all items in parallel; yield each with its result or its PipelineError once it is done.

        A retryable error, or one that is no PipelineError, is raised, and no further items are started.
        """
        for item, future in self._finished(step, items):
            error = future.exception()
            if error and (not isinstance(error, PipelineError) or error.retryable):
                raise error
            yield item, error or future.result()


@contextmanager
def worker_pool(dask: str, memory: int) -> Iterator[WorkerPool]:
    """Give the workers of the scheduler at `dask` or, if that is '', threads: one per processor, if `memory` suffices.

    memory is in MiB, for all parts together. Raises ClusterUnavailable.
    """
    if dask:
        with _cluster(dask) as cluster:
            yield cluster
    else:
        size = max(1, min(processors(), memory // MIN_MEMORY))
        yield WorkerPool(size, partial(_in_threads, size))


def processors() -> int:
    """Return how many processors this process may use."""
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
def _cluster(address: str) -> Iterator[WorkerPool]:
    import distributed  # noqa: PLC0415  (only if it is asked for)

    def finished(step: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        futures = dict(zip(client.map(step, items, pure=False), items, strict=True))
        for future in distributed.as_completed(list(futures), loop=client.loop):
            if future.cancelled():
                raise ClusterUnavailable(
                    f"the Dask scheduler at {address} was lost; run again: loaded parts stay loaded"
                )
            if isinstance(future.exception(), distributed.KilledWorker):
                raise ClusterUnavailable(f"{address}: several workers died at the same part; give them more memory")
            yield futures.pop(future), future

    try:
        client = distributed.Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ClusterUnavailable(f"no Dask scheduler answers at {address} ({error}); check VOUCHER_DASK") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT)
        except TimeoutError:
            raise ClusterUnavailable(
                f"the Dask scheduler at {address} has no worker; `dask worker {address}` starts one"
            ) from None
        yield WorkerPool(max(client.nthreads().values()), finished)
