"""Start, find and stop background processes and their children."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from shared import files


class StackError(Exception):
    """What went wrong and what to do about it, for a person at a terminal."""


interrupted = threading.Event()  # set by Ctrl-C: ends all waiting, in threads too


def until(ready: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
    """Poll `ready`; return whether it was true within `seconds`. Raise KeyboardInterrupt after Ctrl-C."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        if interrupted.wait(every):
            raise KeyboardInterrupt
    return True


def start_time(pid: int) -> str | None:
    """Return what tells a process from a later one with its pid, whatever the clock says; None if it is gone."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if (stat := Path(f"/proc/{pid}/stat")).exists():
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot} {stat.read_text().rpartition(')')[2].split()[19]}"
        return str(process.create_time())
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


@dataclass(frozen=True)
class Process:
    """A started process, the leader of its own session."""

    name: str
    pid: int
    born: str  # its start_time; running stacks have this name in their records
    since: float
    settings: str  # fingerprint of the settings it was started with
    port: int | None = None

    @property
    def running(self) -> bool:
        return start_time(self.pid) == self.born

    def members(self) -> list[psutil.Process]:
        """Return it, its descendants and what else is in its session; nothing if another process has its pid now."""
        if start_time(self.pid) not in (self.born, None):
            return []
        found = {process.pid: process for process in _session(self.pid)}
        if self.running:
            found |= {process.pid: process for process in psutil.Process(self.pid).children(recursive=True)}
        return list(found.values())

    def stop(self, seconds: float = 15, first: signal.Signals = signal.SIGTERM) -> None:
        """Terminate the leader and wait, then terminate its children and wait, then kill."""
        members = self.members()
        if self.running:
            os.kill(self.pid, first)
            until(lambda: not self.running, seconds)
        for kind in (signal.SIGTERM, *[signal.SIGKILL] * 3):  # a process may have started another just before it ended
            left = [process for process in {*members, *self.members()} if _is_alive(process)]
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(kind)
            psutil.wait_procs(left, timeout=min(seconds, 5))


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _session(leader: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process


@dataclass(frozen=True)
class Processes:
    """The processes recorded in a folder, each with a log in `folder/logs`."""

    folder: Path

    def record(self, name: str) -> Process | None:
        path = self._path(name)
        return Process(**json.loads(path.read_text())) if path.exists() else None

    def running(self, name: str) -> Process | None:
        found = self.record(name)
        return found if found and found.running else None

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str],
        *,
        settings: str = "",
        port: int | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Stop what an earlier process left, start `argv` in its own session, log its output and record it."""
        self.stop(name)
        for path in (self._path(name), self.log(name)):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in argv],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
                **as_user(user),
            )
        process = Process(name, child.pid, start_time(child.pid) or "", time.time(), settings, port)
        _children.append(child)
        files.replace(self._path(name), json.dumps(asdict(process)))
        return process

    def stop(self, name: str, first: signal.Signals = signal.SIGTERM) -> bool:
        """Stop a process and its children. Return whether any of them ran."""
        found = self.record(name)
        if not found:
            return False
        there = bool(found.members())
        found.stop(first=first)
        self._path(name).unlink(missing_ok=True)
        return there

    def wait(self, names: Collection[str], healthy: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until `healthy`. Raise StackError with the end of a log if a process ends or the time is up."""

        def dead() -> list[str]:
            return [name for name in names if not self.running(name)]

        until(lambda: bool(dead()) or healthy(), seconds)
        if dead() or not healthy():
            name = next(iter([*dead(), *names]))
            raise StackError(f"{name} did not start. Its log ends:\n{self.tail(name)}")

    def tail(self, name: str, lines: int = 15) -> str:
        path = self.log(name)
        text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
        return "\n".join([*(f"    {line}" for line in text), f"The whole log: {path}"])

    def _path(self, name: str) -> Path:
        return self.folder / "processes" / f"{name}.json"


_children: list[subprocess.Popen[bytes]] = []  # kept, so that Python does not warn about running children


def as_user(user: str | None) -> dict[str, Any]:
    """Return the arguments with which subprocess runs a command as `user`; none for the current user."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
