"""Ctrl-C at any moment of a first `make up`, in a fresh copy of the checkout: the next `make up` answers.

The moments are spread over the duration of an uninterrupted one: environment, packages, servers, run. Every second
time, Ctrl-C is pressed twice.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tabulate import tabulate

from dev.ports import free_port
from dev.processes import until
from proofs.support.checkout import copy_checkout

MOMENTS = 40
PORTS = ("API_PORT", "AIRFLOW_PORT", "POSTGRES_PORT", "S3_PORT")
NOT_OURS = ("MAKE", "MFLAGS", "PYTHON", "VIRTUAL_ENV")
ANSWER = '{"voucher_amount":2640}'
AGAIN = 0.3  # seconds until an impatient person presses Ctrl-C again


def at_a_terminal(words: Sequence[str], folder: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command as a process group that gets Ctrl-C, even if the tests ignore it."""
    return subprocess.Popen(
        words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip


@dataclass(frozen=True)
class Newcomer:
    """A user at a terminal in a fresh copy of the checkout."""

    folder: Path
    environ: dict[str, str]

    @classmethod
    @contextmanager
    def arrives(cls, folder: Path) -> Iterator["Newcomer"]:
        copy_checkout(folder)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
        newcomer = cls(folder, environ | {name: str(free_port()) for name in PORTS})
        try:
            yield newcomer
        finally:
            newcomer.make("clean").communicate()
            for process in newcomer.left():
                process.kill()
            shutil.rmtree(folder)

    def make(self, target: str) -> subprocess.Popen[str]:
        return at_a_terminal(["make", target], self.folder, self.environ)

    def interrupted(self, seconds: float, times: int) -> tuple[str, float] | None:
        """Press Ctrl-C after so many seconds of `make up`. Return its output, and how many seconds later it ended.

        Return None if it had ended before.
        """
        process, pressed = self.make("up"), time.monotonic()
        for wait in (seconds, *[AGAIN] * (times - 1)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait)
            if process.poll() is not None and wait == seconds:
                process.communicate()
                return None
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # to all foreground processes, as a terminal does
            pressed = pressed if wait == AGAIN else time.monotonic()
        return process.communicate()[0], time.monotonic() - pressed

    def left(self) -> list[psutil.Process]:
        """Return the processes that run in the folder, or with a file in it."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(str(self.folder) in word for word in (process.cwd(), *process.cmdline())):
                    found.append(process)
        return found


@dataclass(frozen=True)
class Fixtures:
    folder: Path
    length: float  # seconds that a first `make up` takes
    moments: int = MOMENTS


@dataclass(frozen=True)
class Result:
    number: int
    seconds: float  # until Ctrl-C was pressed
    times: int
    last: str  # the last step that had ended by then
    ended: float  # seconds from Ctrl-C to the end
    again: float  # seconds of the next `make up`
    answer: str
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[int]:
        return (self.number,)


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    with Newcomer.arrives(folder / "whole") as newcomer:
        said = newcomer.make("up").communicate()[0]
        length = time.monotonic() - began
    if said.splitlines()[-1] != ANSWER:
        raise AssertionError(f"a first `make up` that nobody interrupts ended with {said[-2000:]}")
    print(f"a first `make up` takes {length:.1f} s", flush=True)
    yield Fixtures(folder, length)


def keys(fixtures: Fixtures) -> list[tuple[int]]:
    """Return the moments in an order that covers the whole duration early."""
    return [(number * 17 % fixtures.moments,) for number in range(fixtures.moments)]


def trial(fixtures: Fixtures, number: int) -> Result:
    """Interrupt a first `make up`, run the next one, and stop the stack: no process may remain."""
    seconds, times = fixtures.length * (number + 0.5) / fixtures.moments, 1 + number % 2
    while True:
        with Newcomer.arrives(fixtures.folder / str(number)) as newcomer:
            if found := newcomer.interrupted(seconds, times):
                return _followed(newcomer, number, seconds, times, found)
        seconds *= 0.9  # it was faster than the measured one, because the machine was less busy


def _followed(newcomer: Newcomer, number: int, seconds: float, times: int, found: tuple[str, float]) -> Result:
    said, ended = found
    began = time.monotonic()
    process = newcomer.make("up")
    told = process.communicate()[0]
    again = time.monotonic() - began
    newcomer.make("down").communicate()
    until(lambda: not newcomer.left(), 5)
    faults = [f"{process.cmdline()} runs on after `make down`" for process in newcomer.left()]
    answer = (told.splitlines() or [""])[-1]
    steps = [line for line in said.splitlines() if line.endswith(" s")]
    if process.returncode or answer != ANSWER:
        faults.append(f"the next `make up` ended with {process.returncode} and {told[-1000:]!r}")
    if "Traceback" in said or "Traceback" in told:
        faults.append(f"a traceback is shown: {said[-1000:]!r}, then {told[-1000:]!r}")
    if "nterrupt" not in said and (ended > 1 or ANSWER not in said):
        faults.append(f"Ctrl-C is not answered: {said[-1000:]!r}")
    last = " ".join(steps[-1].split()[:-2]) if steps else "nothing"
    return Result(number, round(seconds, 1), times, last, round(ended, 1), round(again, 1), answer, tuple(faults))


def table(results: Sequence[Result]) -> str:
    ordered = sorted(results, key=lambda each: each.number)
    lines: list[tuple[object, ...]] = [
        (each.seconds, each.times, each.last[:60], each.ended, each.again, each.answer) for each in ordered
    ]
    lines.append((f"{len(lines)} moments", "", "", max(each.ended for each in results), max(e.again for e in results),
                  f"{sum(each.answer == ANSWER for each in results)} answers"))  # fmt: skip
    return tabulate(lines, ("Ctrl-C after s", "times", "last step done", "ended after s", "next make up s", "answer"))


def short(results: Sequence[Result]) -> list[str]:
    missing = sorted(set(range(MOMENTS)) - {each.number for each in results})
    return [f"no trial at moments {missing}"] if missing else []
