"""The rules that run are the rules that the notebook writes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

NOTEBOOK = Path("notebooks", "02_cleaning_rules.ipynb")
RULES = Path("pipeline", "rules.toml")


def test_the_notebook_writes_the_committed_rules(tmp_path: Path) -> None:
    """Executed in a copy of the tree, the notebook writes the very bytes of pipeline/rules.toml."""
    for folder in ("pipeline", "dev", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / RULES).unlink()
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", tmp_path / NOTEBOOK],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")},
        cwd=tmp_path,
        check=True,
        timeout=300,
    )
    assert (tmp_path / RULES).read_bytes() == (ROOT / RULES).read_bytes(), (
        f"{RULES} is not what {NOTEBOOK} writes: run `make rules` and commit both"
    )
