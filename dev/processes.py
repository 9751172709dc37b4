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


interrupted = threading.Event()  # set by Ctrl-C: all waiting ends, in threads too


def until(ready: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
    """Ask `ready` again and again; whether it said yes within `seconds`. Raises KeyboardInterrupt after Ctrl-C."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        if interrupted.wait(every):
            raise KeyboardInterrupt
    return True


def born(pid: int) -> str | None:
    """What tells this process from a later one with the same pid; None when it is gone. Not moved by a set clock."""
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
    """One started process, the leader of a session of its own."""

    name: str
    pid: int
    born: str
    since: float
    settings: str  # fingerprint of what it was started with
    port: int | None = None

    @property
    def running(self) -> bool:
        return born(self.pid) == self.born

    def members(self) -> list[psutil.Process]:
        """Itself, its descendants, those of its session whose parent died; nobody when its pid is another's now."""
        if born(self.pid) not in (self.born, None):
            return []
        found = {process.pid: process for process in _session(self.pid)}
        if self.running:
            found |= {process.pid: process for process in psutil.Process(self.pid).children(recursive=True)}
        return list(found.values())

    def stop(self, seconds: float = 15, first: signal.Signals = signal.SIGTERM) -> None:
        """Ask the leader, wait, ask what is left, wait, kill."""
        members = self.members()
        if self.running:
            os.kill(self.pid, first)
            until(lambda: not self.running, seconds)
        for kind in (signal.SIGTERM, *[signal.SIGKILL] * 3):  # one that is ended may have started another just now
            left = [process for process in {*members, *self.members()} if _lives(process)]
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(kind)
            psutil.wait_procs(left, timeout=min(seconds, 5))


def _lives(process: psutil.Process) -> bool:
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
    """The processes recorded in a folder, with a log each in `folder/logs`."""

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
        """Start `argv` in a session of its own, its output in the log, and record it; stop what a dead one left."""
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
        process = Process(name, child.pid, born(child.pid) or "", time.time(), settings, port)
        _children.append(child)
        files.replace(self._path(name), json.dumps(asdict(process)))
        return process

    def stop(self, name: str, first: signal.Signals = signal.SIGTERM) -> bool:
        """Stop it if it is there; whether there was something to stop."""
        found = self.record(name)
        if not found:
            return False
        there = bool(found.members())
        found.stop(first=first)
        self._path(name).unlink(missing_ok=True)
        return there

    def wait(self, names: Collection[str], healthy: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until all is `healthy`; raise StackError, with the end of a log, when one has ended or time is up."""

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


_children: list[subprocess.Popen[bytes]] = []  # kept, so that Python does not warn of children left behind


def as_user(user: str | None) -> dict[str, Any]:
    """The arguments that make subprocess run as `user`; none when it is oneself."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
