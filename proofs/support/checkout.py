"""A copy of the checkout, for tests that start what it starts, or write where it writes."""

import shutil
import subprocess
from pathlib import Path

from proofs.support.environment import ROOT


def copy_checkout(folder: Path) -> None:
    """What git knows, or would take: no settings of a developer's, no sample, no cache."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in filter(None, listed.split("\0")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path)
