"""The service as a process, also on a full disk, and its readiness."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import requests

from dev.ports import free_port
from dev.processes import until
from proofs.support.environment import API, ROOT, as_role

NAMESPACE = ("unshare", "--map-root-user", "--mount")  # allows an ordinary user to mount file systems


def full_disk(folder: Path | str) -> tuple[str, ...]:
    """Return a command prefix for running a command with `folder` on a full file system of 256 kB."""
    fill = 'mount -t tmpfs -o size=256k tmpfs "$0"; head -c 300000 /dev/zero > "$0/rest"; exec "$@"'
    return (*NAMESPACE, "sh", "-c", fill, str(folder))


@contextmanager
def served(
    database: str,
    *,
    prefix: Sequence[str] = (),
    stderr: int | IO[bytes] | None = None,
    **environ: str,
) -> Iterator[str]:
    """Start the service with one worker. Yield its address. `prefix` goes before the command."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [*prefix, sys.executable, "-m", "app", "--port", url.rpartition(":")[2]]
    env = os.environ | {"API_DATABASE_URL": as_role(database, API), "VOUCHER_WORKERS": "1"}
    with tempfile.TemporaryDirectory() as counts:
        env |= {"PROMETHEUS_MULTIPROC_DIR": counts} | environ
        with subprocess.Popen(command, cwd=ROOT, env=env, stderr=stderr, stdout=subprocess.DEVNULL) as process:
            try:
                assert until(lambda: answers(url), 30)
                yield url
            finally:
                process.terminate()


def answers(url: str) -> bool:
    """Return whether the service at this address is ready."""
    try:
        return requests.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def failing(url: str) -> list[str]:
    """Return what is failing, according to the service's readiness."""
    return list(requests.get(f"{url}/readyz", timeout=5).json()["failing"])
