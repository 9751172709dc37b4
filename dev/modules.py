"""Run Python modules of the checkout."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.processes import StackError

ROOT = Path(__file__).parents[1]


def module(*words: str) -> list[str]:
    """Return the command line of a module."""
    return [sys.executable, "-m", *words]


def run_module(env: Mapping[str, str], *words: str) -> None:
    """Run a module to its end. Raise StackError with the last lines of its output if it fails."""
    ended = subprocess.run(module(*words), env=dict(env), cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        tail = "\n".join(f"    {line}" for line in (ended.stdout + ended.stderr).splitlines()[-8:])
        raise StackError(f"`python -m {' '.join(words)}` failed:\n{tail}")
