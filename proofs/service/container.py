"""The service in its container while it is reloaded, stopped, and as in the proof `service`. Needs Docker.

It runs as in docker-compose.yml: an ordinary user, no capabilities, only /tmp is writable, a gigabyte of memory.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dev.ports import free_port
from dev.processes import Process, start_time, until
from dev.services.api import Service
from proofs.service import events, service
from proofs.service.running_service import RunningService
from proofs.service.service import Result, table, trial
from proofs.support.environment import API, ROOT, as_role
from proofs.support.served import answers

__all__ = ["Result", "fixtures", "keys", "short", "table", "trial"]

EVENTS = ("worker", "reload", "stop", *(each.__name__ for each in events.CALLERS))
IMAGE = "voucher-select-api"
LIKE_COMPOSE = (
    *("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--memory=1g"),
    "--log-driver=local",
)
SERVE = "python -m app --port "
FULL = f"head -c 300000 /dev/zero > /counts/rest; exec 2> /dev/full {SERVE}"
FULL_COUNTS = ("--tmpfs=/counts:size=256k,mode=1777", "--env=PROMETHEUS_MULTIPROC_DIR=/counts")
DEAF = f"mkfifo /tmp/log; sleep infinity < /tmp/log & exec 2> /tmp/log {SERVE}"


class ContainerService(RunningService):
    """Its processes are inspected and signalled from outside, in the host's network, so the proof needs root."""

    name = "voucher-select-proof"

    def start(self) -> None:
        self._run(self.name, f"exec {SERVE}", self.service.port)

    def stop(self) -> None:
        _docker("rm", "--force", self.name)

    @property
    def server(self) -> Process:
        pid = int(_docker("inspect", "--format={{.State.Pid}}", self.name))
        return Process("api", pid, str(start_time(pid)), time.time(), "")

    @contextmanager
    def another(self, script: str = f"exec {SERVE}", *options: str) -> Iterator[str]:
        port = free_port()
        name = f"{self.name}-{port}"
        try:
            yield self._run(name, script, port, *options)
        finally:
            _docker("rm", "--force", name)

    @contextmanager
    def on_a_full_disk(self) -> Iterator[str]:
        with self.another(FULL, *FULL_COUNTS) as url:
            yield url

    @contextmanager
    def with_a_deaf_log(self) -> Iterator[str]:
        with self.another(DEAF) as url:
            yield url

    def _run(self, name: str, script: str, port: int, *options: str) -> str:
        """Start a container, which replaces an old one of that name. Return its address."""
        _docker("rm", "--force", name)
        names = ("--detach", f"--name={name}", "--network=host", "--env=API_DATABASE_URL")
        command = ("sh", "-c", f"{script}{port}")
        _docker(
            *("run", *names, *LIKE_COMPOSE, *options, IMAGE, *command),
            API_DATABASE_URL=as_role(self.postgres.url(), API),
        )
        url = Service(Path(), port).url
        assert until(lambda: answers(url), 60), _docker("logs", name)
        return url


def _docker(*words: str, **environ: str) -> str:
    ended = subprocess.run(
        ("docker", *words), cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    assert not ended.returncode, f"docker {' '.join(words)} failed: {ended.stderr[-3000:]}"
    return ended.stdout


@contextmanager
def fixtures(folder: Path) -> Iterator[RunningService]:
    _docker("compose", "build", "api")
    with ContainerService.open(folder) as running:
        yield running


def keys(fixtures: RunningService) -> list[tuple[str, int]]:
    return [(event, number) for event, number in service.keys(fixtures) if event in EVENTS]


def short(results: Sequence[Result]) -> list[str]:
    return service.short(results, EVENTS)
