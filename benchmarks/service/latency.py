"""Latencies at a fixed rate that does not depend on the server: each counts from when its request was due.

A client that waits for one answer before it sends the next request would miss exactly the moments in which a server
stalls.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles
from threading import Event, Thread
from time import perf_counter, sleep

from benchmarks.service.published import Published
from benchmarks.service.throughput import Caller
from dev.processes import StackError

THREADS = 32  # requests that may be late at once; a further one waits, which counts as latency


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds, and the runs that answered."""

    p50: float
    p99: float
    runs: frozenset[str | None]  # the runs that answered


def asked(url: str, known: Published, rate: int, seconds: float, constant: float | None = None) -> Latency:
    """Send `rate` requests per second. Check each answer against the run that it names, or else any run or `constant`.

    Raise StackError if an answer is wrong.
    """
    began, total = perf_counter() + 0.2, int(rate * seconds)

    def ask(first: int) -> list[tuple[float, str | None]]:
        caller, found = Caller(f"{url}/voucher"), []
        for number in range(first, total, THREADS):
            due = began + number / rate
            sleep(max(0.0, due - perf_counter()))
            customer = number % len(known.customers)
            run, content = caller.post(bodies[customer])
            found.append((perf_counter() - due, run))
            _check(json.loads(content)["voucher_amount"], run, customer, known.answers, constant)
        caller.close()
        return found

    bodies = [json.dumps(customer).encode() for customer in known.customers]
    with ThreadPoolExecutor(THREADS) as pool:
        every = [each for thread in pool.map(ask, range(THREADS)) for each in thread]
    cuts = quantiles((waited * 1000 for waited, _ in every), n=100)
    return Latency(cuts[49], cuts[98], frozenset(run for _, run in every))


def _check(
    amount: float, run: str | None, customer: int, answers: Mapping[str, list[float]], constant: float | None
) -> None:
    right = {constant} if constant else {answers[name][customer] for name in ([run] if run else answers)}
    if amount not in right:
        raise StackError(f"run {run} answered {amount}, not {right}, to customer {customer}")


@contextmanager
def publishes(known: Published, every: float) -> Iterator[None]:
    """Move the pointer between the two runs every `every` seconds while the context lasts."""
    ended = Event()

    def move() -> None:
        while not ended.wait(every):
            known.move()

    thread = Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
