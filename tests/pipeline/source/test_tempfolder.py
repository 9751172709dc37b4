"""Temporary folders of a step, which are deleted afterwards, even if the step was killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.source import tempfolder
from tests.conftest import ROOT

KILLED = """
import os, signal
from pipeline.source import tempfolder
with tempfolder.create() as folder:
    (folder / "part.parquet").write_bytes(b"rows")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set TMPDIR to the test's own folder and return the folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_is_deleted_with_what_is_in_it(temporary: Path) -> None:
    """The folder and its files are deleted, even if the step fails."""
    with pytest.raises(RuntimeError), tempfolder.create() as folder:
        (folder / "part.parquet").write_bytes(b"rows")
        assert list(temporary.iterdir()) == [folder]
        raise RuntimeError
    assert not list(temporary.iterdir())


def test_the_folder_of_a_killed_step_is_deleted_by_the_next(temporary: Path) -> None:
    """The next step deletes the folder of a killed step, but not that of a running step."""
    ended = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, check=False)
    assert ended.returncode == -9
    (left,) = temporary.iterdir()
    with tempfolder.create() as first:
        assert not left.exists()
        with tempfolder.create() as second:
            assert {first, second} == set(temporary.iterdir())
    assert not list(temporary.iterdir())


def test_a_full_disk_is_named_with_the_way_out(temporary: Path) -> None:
    """The error for a full disk names TMPDIR, and the files are deleted; other errors stay as they are."""
    with pytest.raises(tempfolder.DiskFull, match=f"the disk of {temporary} is full; set TMPDIR"), tempfolder.create():
        Path("/dev/full").write_bytes(b"rows")
    with pytest.raises(FileNotFoundError), tempfolder.create() as folder:
        (folder / "none").read_bytes()
    assert not list(temporary.iterdir())


def test_a_folder_of_temporary_files_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a missing folder of temporary files names TMPDIR."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with (
        pytest.raises(tempfolder.DiskFull, match=r"a temporary folder can't be created: No such file .*; set TMPDIR"),
        tempfolder.create(),
    ):
        pass
