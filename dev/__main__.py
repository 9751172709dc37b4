"""The commands behind `make up`, `down`, `status`, `logs`, `notebook`, `rules`, `plan`, `clean`: `python -m dev …`."""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback during the imports below

try:
    from dev.commands.notebooks import notebook, rules
    from dev.commands.plan import compare, plan
    from dev.commands.progress import say, step
    from dev.commands.status import status
    from dev.commands.up import up
    from dev.modules import ROOT
    from dev.processes import StackError, interrupted
    from dev.stack.stack import LOCAL, STOP_ORDER, Stack
    from shared.environment import SettingsError
except Exception as error:
    if not isinstance(error, ModuleNotFoundError) and Path(sys.prefix, ".ready").exists():
        raise
    sys.exit(f"The environment {sys.prefix} is not complete ({error}). Run `make up`, which completes it.")

STATE = ROOT / ".local"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "logs", "notebook", "rules", "plan", "clean"])
    options, more = parser.parse_known_args()
    if more and options.command not in {"notebook", "logs", "plan"}:
        parser.error(f"{options.command} takes no arguments: {' '.join(more)}")
    commands: dict[str, Callable[[Stack], None]] = {
        **{"up": _up, "down": _down, "status": _status, "clean": _clean, "rules": rules},
        "notebook": lambda stack: notebook(stack, more),
        "logs": lambda _: _logs(more),
        "plan": lambda stack: compare(stack, more[0]) if more else plan(stack),
    }
    stack = Stack(STATE, dict(os.environ))
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOCAL  # this process has no other connections
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    try:
        commands[options.command](stack)
    except (StackError, SettingsError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"\n{error}. Did another user start it? They can stop it with `make clean`.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("What was started keeps running: `make status`, `make down`.", file=sys.stderr)
        return 130
    return 0


def _interrupt(*_: object) -> None:
    """Report the interrupt, end the waiting of all threads, and stop. A second Ctrl-C could leave a process behind."""
    if not interrupted.is_set():
        interrupted.set()
        os.write(2, b"\nInterrupted. Ending the current steps.\n")
        raise KeyboardInterrupt


@contextmanager
def _exclusive() -> Iterator[None]:
    """Hold the lock of the state folder: two commands at the same time would start or stop the same parts."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                "Another `make up`, `down` or `clean` is running in this folder. Wait for it to end."
            ) from None
        yield


def _up(stack: Stack) -> None:
    with _exclusive():
        up(stack)


def _down(stack: Stack) -> None:
    if STATE.exists():
        with _exclusive(), step("stopped"):
            for name in stack.stop(list(chain(*STOP_ORDER))):
                say(f"  {name} stopped")


def _clean(stack: Stack) -> None:
    _down(stack)
    stack.remove()


def _logs(wanted: Sequence[str]) -> None:
    """Replace this process by `tail` on the logs of these parts, or of all if none is named."""
    logs = {path.stem: str(path) for path in sorted((STATE / "logs").glob("*.log"))}
    if not logs:
        raise StackError("There are no logs yet. Run `make up`.")
    if unknown := [name for name in wanted if name not in logs]:
        raise StackError(f"PART is {unknown[0]!r}, but must be one of {', '.join(logs)}.")
    os.execvp("tail", ["tail", "-n", "20", "-F", *(logs[name] for name in wanted or logs)])  # noqa: S606


def _status(stack: Stack) -> None:
    for line in status(stack):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
