"""Lines of progress, each with its time, from several threads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_printing = threading.Lock()


def say(text: str, seconds: float | None = None) -> None:
    with _printing:
        print(text if seconds is None else f"  {text:<76}{seconds:6.1f} s", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(text, time.monotonic() - began)
