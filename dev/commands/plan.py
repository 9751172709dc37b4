"""`make plan`: what the rules and segments of this checkout would change, as Markdown on standard output."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dev.commands.published import published
from dev.modules import ROOT, module, run_module
from dev.ports import free_port
from dev.processes import StackError
from dev.services.postgres import Postgres
from dev.stack.memory import DATABASE
from dev.stack.stack import Stack

DEFINITIONS = ("pipeline/rules.toml", "pipeline/segments.toml")
OF_SOURCE = ("VOUCHER_SOURCE", "VOUCHER_S3_ANONYMOUS", "TODAY")
SAMPLE = "sample.parquet"
BASE_REASON = "the rules and segments to compare with"


def plan(stack: Stack) -> None:
    """Compare with what is published on the stack of `make up`. Raises StackError if nothing is."""
    needed = {"postgres": stack.own_postgres, "s3": stack.own_s3}
    down = [name for name, is_own in needed.items() if is_own and not stack.processes.running(name)]
    if down or not published(stack.settings[DATABASE]):
        raise StackError("There is no published run to compare with. Run `make up`.")
    _plan(stack.environment_with("PIPELINE_DATABASE_URL"), ROOT)


def compare(stack: Stack, base: str) -> None:
    """Compare with the definitions of a commit, on VOUCHER_SOURCE or else the sample, in a Postgres of its own.

    This software applies both, so that only the definitions differ. Raises StackError.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package in ("pipeline", "shared"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for file in DEFINITIONS:
            (folder / file).write_bytes(_of_commit(base, file))
        words = secrets.token_hex(8), secrets.token_hex(8)
        postgres = Postgres(folder / "postgres", free_port(), *words, durable=False)
        postgres.folder.mkdir()
        with postgres.running():
            env = _environment(stack, postgres)
            _run(env, postgres.folder, "migrate")
            _run(env | {"PYTHONPATH": str(folder)}, postgres.folder, "run", "--force", BASE_REASON)
            _plan(env, postgres.folder)
            sys.stdout.write(f"\n*published* stands for the rules and segments of `{base}`, on the same history.\n")


def _environment(stack: Stack, postgres: Postgres) -> dict[str, str]:
    """Return the environment of commands that run in the folder of the database, where the sample is written."""
    given = {name: value for name, value in stack.given.items() if name in OF_SOURCE or name.startswith("AWS_")}
    source = given.get("VOUCHER_SOURCE", "")
    if not source:
        given["VOUCHER_SOURCE"] = SAMPLE
        run_module(stack.bare_environment, "sample", str(postgres.folder / SAMPLE))
    elif os.path.lexists(source):
        given["VOUCHER_SOURCE"] = str(Path.cwd() / source) + "/" * source.endswith("/")
    names = {"PIPELINE_DATABASE_URL": "voucher_pipeline", "API_DATABASE_URL": "voucher_api"}
    urls = {name: postgres.url(user=role, password=postgres.password) for name, role in names.items()}
    return {**stack.bare_environment, **given, **urls, DATABASE: postgres.url()}


def _of_commit(commit: str, file: str) -> bytes:
    found = subprocess.run(["git", "show", f"{commit}:{file}"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        raise StackError(f"BASE {commit!r} is not a commit with {file}: {found.stderr.decode().strip()}")
    return found.stdout


def _run(env: Mapping[str, str], folder: Path, *words: str) -> None:
    command = subprocess.run(
        module("pipeline", *words), env={**env}, cwd=folder, capture_output=True, text=True, check=False
    )
    if command.returncode:
        raise StackError(f"{command.stdout}{command.stderr}")


def _plan(env: Mapping[str, str], folder: Path) -> None:
    """Write the Markdown. A failed audit is in it, so that only a plan without one is an error."""
    words = module("pipeline", "plan", "--markdown")
    command = subprocess.run(words, env={**env}, cwd=folder, capture_output=True, text=True, check=False)
    if not command.stdout:
        raise StackError(command.stderr.strip())
    sys.stdout.write(command.stdout)
