"""`make notebook` and `make rules`: the notebooks, on the history that the stack uses. Called by `python -m dev`."""

import os
import subprocess
import sys
from collections.abc import Sequence

from dev import s3
from dev.processes import StackError
from dev.stack import ROOT, Stack, module

LAB = (
    *("--ServerApp.ip=127.0.0.1", "--ServerApp.allow_root=True"),
    *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "notebooks"),
)
EXECUTE = (
    *("--log-level=WARN", "--to", "notebook", "--execute", "--inplace"),
    "--ExecutePreprocessor.record_timing=False",
    # On every start the kernel warns that it listens on 127.0.0.1 without encryption.
    *("--ExecutePreprocessor.extra_arguments=--log-level=40", "notebooks/02_cleaning_rules.ipynb"),
)
TABLES = ("cogapp", "-r", "-P", "--verbosity=1", "README.md", *map(str, sorted((ROOT / "docs").glob("*.md"))))


def environment(stack: Stack) -> dict[str, str]:
    """Return the environment of a notebook: the stack's source, and no address of a database.

    Without the stand-in, a notebook makes the sample itself. Raises StackError when the source cannot be read.
    """
    stack.memory.check_keys()
    if stack.own_s3 and not (stack.processes.running("s3") and stack.s3.holds(s3.BUCKET, s3.KEY)):
        if stack.memory.is_sample:
            return stack.bare_environment
        raise StackError(f"The S3 stand-in is away, and {stack.memory.source} lies in it. Run `make up`.")
    return {**stack.bare_environment, **stack.of_source("AWS_")}


def notebook(stack: Stack, arguments: Sequence[str] = ()) -> None:
    """Become Jupyter."""
    env = environment(stack)
    os.chdir(ROOT)
    os.execve(sys.executable, module("jupyter", "lab", *LAB, *arguments), env)  # noqa: S606


def rules(stack: Stack) -> None:
    """Run the notebook that writes pipeline/rules.toml, then the tables of README and docs/. Raises StackError."""
    env = environment(stack)
    for command in (module("nbconvert", *EXECUTE), module(*TABLES)):
        if subprocess.run(command, env=env, cwd=ROOT, check=False).returncode:
            raise StackError(f"`python {' '.join(command[1:3])}` failed; what went wrong is above.")
