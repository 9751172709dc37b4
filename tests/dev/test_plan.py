"""`make plan`: what changed rules and segments would change, as Markdown."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.pipeline.conftest import FREQUENT, history


def checkout(folder: Path) -> None:
    """Create a repository of what `make plan` needs, with one commit."""
    for package in ("dev", "pipeline", "sample", "shared"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for words in (("init", "-q"), ("add", "pipeline"), ("commit", "-qm", "A base.")):
        subprocess.run(
            ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org", *words], cwd=folder, check=True
        )


def plan(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `make plan` in a checkout."""
    command = [sys.executable, "-m", "dev", "plan", *words]
    env = os.environ | environ
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_without_a_stack_the_way_out_is_named(tmp_path: Path) -> None:
    """`make plan` says `make up` if nothing runs, and what is wrong with a commit that doesn't exist."""
    checkout(tmp_path)
    result = plan(tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "There is no published run to compare with. Run `make up`." in result.stderr
    assert (
        "BASE 'no-commit' is not a commit with pipeline/rules.toml: fatal: invalid object name 'no-commit'."
        in plan(tmp_path, "no-commit").stderr
    )


@pytest.mark.long
def test_a_commit_is_compared_without_a_stack(tmp_path: Path, sample_file: Path) -> None:
    """With a commit, its definitions are published in a database of its own, and what this checkout changes is told."""
    checkout(tmp_path)
    source = tmp_path / "rows.parquet"
    pq.write_table(history(*[{}] * 30), source)
    rules = tmp_path / "pipeline" / "rules.toml"
    rules.write_text(rules.read_text().replace("total_orders IS NULL", "total_orders IS NULL OR total_orders > 9000"))
    segments = tmp_path / "pipeline" / "segments.toml"
    segments.write_text(segments.read_text().replace(FREQUENT[-1], "many"))

    result = plan(tmp_path, "HEAD", VOUCHER_SOURCE="rows.parquet")

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("### What this changes in the answers\n\n**0 of 10 answers differ** in run `")
    assert (
        "- rule missing\\_total\\_orders drops rows where total\\_orders IS NULL OR total\\_orders \\> 9000; "
        in result.stdout
    )
    assert f"- frequent\\_segment\\: {FREQUENT[-1]} is called many" in result.stdout
    subprocess.run(["git", "checkout", "-q", "pipeline"], cwd=tmp_path, check=True)
    assert "Nothing: run `" in plan(tmp_path, "HEAD", VOUCHER_SOURCE=str(sample_file)).stdout
