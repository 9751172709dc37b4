"""A copy of the checkout, for tests and proofs that start the stack or write files there."""

import shutil
import subprocess
from pathlib import Path

from proofs.support.environment import ROOT


def copy_checkout(folder: Path) -> None:
    """Copy all files that git tracks or would add: no local settings, no sample, no cache."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in filter(None, listed.split("\0")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
