"""The commands behind `make up`, `down`, `status`, `logs` and `clean`: `python -m dev COMMAND`."""

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from dev.processes import StackError
from dev.stack import LOCAL, ROOT, STOP_ORDER, Stack
from dev.up import say, step, up

STATE = ROOT / ".local"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "logs", "clean"])
    command = parser.parse_args().command
    stack = Stack(STATE, dict(os.environ))
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOCAL  # this process talks to no one else
    try:
        {"up": _up, "down": _down, "status": _status, "logs": _logs, "clean": _clean}[command](stack)
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"\n{error}. Did another user start it? They can end it by `make clean`.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped waiting. What has been started runs on: `make status`, `make down`.", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of the state folder: two commands at once would start or stop the same parts."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("Another `make up`, `down` or `clean` is at work in this folder. Wait for it.") from None
        yield


def _up(stack: Stack) -> None:
    with _alone():
        up(stack)


def _down(stack: Stack) -> None:
    if STATE.exists():
        with _alone(), step("stopped"):
            for name in stack.stop(list(chain(*STOP_ORDER))):
                say(f"  {name} stopped")


def _clean(stack: Stack) -> None:
    _down(stack)
    stack.remove()


def _logs(_: Stack) -> None:
    logs = sorted(str(path) for path in (STATE / "logs").glob("*.log"))
    if not logs:
        raise StackError("There are no logs yet: make up")
    os.execvp("tail", ["tail", "-n", "20", "-F", *logs])  # noqa: S606


def _status(stack: Stack) -> None:
    healthy = {"api": stack.api.healthy, "s3": stack.s3.healthy, "postgres": stack.postgres.healthy}
    print(f"{'part':<20}{'process':<10}{'port':<8}{'up since':<22}state")
    for name in chain(*STOP_ORDER):
        process = stack.processes.running(name)
        if not process:
            print(f"{name:<20}{'-':<10}{'-':<8}{'-':<22}down")
            continue
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(process.since))
        state = "healthy" if healthy.get(name, stack.airflow.healthy)() else "not healthy"
        print(f"{name:<20}{process.pid:<10}{process.port or '-':<8}{since:<22}{state}")
    print(f"published run: {stack.api.run_id() or 'none, or the API is away'}")


if __name__ == "__main__":
    sys.exit(main())
