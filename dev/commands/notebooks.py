"""`make notebook` and `make rules`: the notebooks, on the history of the stack."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from dev.commands.progress import say, step
from dev.modules import ROOT, module
from dev.processes import StackError
from dev.services import s3
from dev.stack.memory import API
from dev.stack.stack import Stack

LAB = (
    *("--ServerApp.ip=127.0.0.1", "--ServerApp.allow_root=True"),
    *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "notebooks"),
)
EXECUTE = (
    *("--log-level=WARN", "--to", "notebook", "--execute", "--inplace"),
    "--ExecutePreprocessor.record_timing=False",
    # At every start the kernel would warn that it listens on 127.0.0.1 without encryption.
    "--ExecutePreprocessor.extra_arguments=--log-level=40",
)
DEFINING = ("notebooks/02_cleaning_rules.ipynb", "notebooks/03_segments.ipynb")  # in this order: segments see the rules
COLOR = re.compile(r"\x1b\[[0-9;]*m")
ERROR = re.compile(r"^\w+(?:Error|Exception|Interrupt): ", re.MULTILINE)


def environment(stack: Stack) -> dict[str, str]:
    """Return the environment of a notebook: the source of the stack, and no database URL.

    If the S3 stand-in does not run, a notebook makes the sample itself. Raise StackError if the source can't be read.
    """
    stack.memory.check_keys()
    if stack.own_s3 and not (stack.processes.running("s3") and stack.s3.holds(s3.BUCKET, s3.KEY)):
        if stack.memory.is_sample:
            return stack.bare_environment
        raise StackError(f"The S3 stand-in is not running, and {stack.memory.source} is in it. Run `make up`.")
    return {**stack.bare_environment, **stack.of_source("AWS_")}


def notebook(stack: Stack, arguments: Sequence[str] = ()) -> None:
    """Replace this process by Jupyter, whose notebooks may also read what is published, as the API does."""
    env = {**environment(stack), API: stack.settings[API]}
    os.chdir(ROOT)
    os.execve(sys.executable, module("jupyter", "lab", *LAB, *arguments), env)  # noqa: S606


def rules(stack: Stack) -> None:
    """Run the notebooks that write pipeline/rules.toml and pipeline/segments.toml."""
    env = environment(stack)
    for name in DEFINING:
        with step(name):
            command = module("nbconvert", *EXECUTE, name)
            ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise StackError(f"{name} failed: {_last_error(ended.stderr)}")
    say("`make plan` shows what the next run would change.")


def _last_error(output: str) -> str:
    """Return the message at the end of a notebook's traceback, without its colors; all of it if there is none."""
    text = COLOR.sub("", output).strip()
    *_, start = [0, *(found.start() for found in ERROR.finditer(text))]
    return text[start:]
