"""The benchmarks at their quick size: each completes and judges its measurements."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.service.servers import OURS
from tests.conftest import ROOT

pytestmark = pytest.mark.long

SAID = {
    "service": (
        6,
        ("/voucher during publishes", "/voucher with a lottery", "(a) bare Flask", "(b) Flask, psycopg2", "p99", "PSS"),
    ),
    "pipeline": (2, ("pipeline  ", "the limit  ", "the common way  ", "plan", "load", "audit", "publish", "prune")),
    "growth": (3, ("10,000  ", "20,000  ", "40,000  ", "Fixed cost: ")),
    "estimate": (0, ()),
}


def bench(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m benchmarks …` in a folder that it may write to."""
    command = [sys.executable, "-m", "benchmarks", *words]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", SAID)
def test_a_benchmark_runs_through(sample_file: Path, tmp_path: Path, name: str) -> None:
    """Each benchmark starts, queries, checks and measures what it compares, and judges each ratio."""
    judged, words = SAID[name]
    source = ["--source", sample_file] if name in ("service", "pipeline") else []
    ended = bench(tmp_path, name, "--quick", *source)
    assert ended.returncode == 0, ended.stderr
    assert len(re.findall(r" (?:met|NOT MET) *$", ended.stdout, re.MULTILINE)) == judged, ended.stdout
    assert not [word for word in words if word not in ended.stdout], ended.stdout
    if name == "growth":
        assert (tmp_path / ".local" / "benchmarks" / "growth-quick.png").read_bytes().startswith(b"\x89PNG")
    if name == "estimate":
        page = (ROOT / "docs" / "growing.md").read_text().replace("*", "")
        figures = re.findall(r"^(.*?)  +[\d.]+(?: µs| bytes|%) *$", ended.stdout, re.MULTILINE)
        assert len(figures) == 7, ended.stdout
        assert [figure for figure in figures if f"| {figure} |" not in page] == []


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    """An unknown name is rejected with the known names, and no benchmark runs."""
    ended = bench(tmp_path, "servise")
    assert ended.returncode == 2
    assert "there is no servise, only service" in ended.stderr
    assert OURS not in ended.stdout


def test_growth_says_what_disk_it_needs(tmp_path: Path) -> None:
    """`growth` names the disk space that it needs before it creates anything."""
    ended = bench(tmp_path, "growth", "--rows", "500000", str(10**15))
    assert ended.returncode == 1
    assert "1,000,000,000,000,000 rows take 250,000,004 GB" in ended.stderr
