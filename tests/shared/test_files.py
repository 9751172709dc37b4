"""Files are replaced completely or not at all."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.processes import until
from shared import files
from tests.conftest import ROOT

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from shared import files
for number in range(10**9):
    files.replace(Path(sys.argv[1]), f"{number:012}" * 20_000)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    """The file contains one complete text at any moment, even if its writer is killed."""
    path = tmp_path / "rules.toml"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, path]) as writer:
            seen = set()

            def changed() -> bool:
                if path.exists():
                    seen.add(path.read_text())  # noqa: B023
                return len(seen) > 3  # noqa: B023

            assert until(changed, 30, every=0.001)
            writer.send_signal(signal.SIGKILL)
        seen.add(path.read_text())
        assert {len(text) for text in seen} == {240_000}
        assert all(text == text[:12] * 20_000 for text in seen)


def test_what_does_not_fit_leaves_the_old_file(tmp_path: Path) -> None:
    """If there is no room for the new text, the old file stays, and no other file remains."""
    path = tmp_path / "rules.toml"
    path.write_text("old")
    script = (
        "import sys; from pathlib import Path; from shared import files; files.replace(Path(sys.argv[1]), 'x' * 9999)"
    )
    limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    ended = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, **limits)
    assert "File too large" in ended.stderr
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["rules.toml"]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_mode_and_link_stay(tmp_path: Path, mode: int) -> None:
    """The file keeps its mode, and a link to it stays a link."""
    path, link = tmp_path / "rules.toml", tmp_path / "link"
    path.write_text("old")
    path.chmod(mode)
    link.symlink_to(path)
    files.replace(link, "new")
    assert (link.is_symlink(), path.read_text(), path.stat().st_mode & 0o777) == (True, "new", mode)


def test_a_new_file_has_the_mode_asked_for_from_the_start(tmp_path: Path) -> None:
    """A file with a secret is readable only by its owner."""
    files.replace(tmp_path / "env", "secret", 0o600)
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("folder", ["writable", "read-only"])
def test_a_mount_point_is_overwritten(tmp_path: Path, folder: str) -> None:
    """A file that is mounted alone, as in a container, is overwritten in place; an error says if it was replaced."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rules.toml").touch()
    (tmp_path / "rules.toml").write_text("old")
    script = """
import os, sys
from pathlib import Path
from shared import files
path = Path("folder/rules.toml")
for text in ("longer than before", "short", ""):
    files.replace(path, text)
    assert Path("rules.toml").read_text() == path.read_text() == text
assert [*os.listdir("folder")] == ["rules.toml"]
os.replace(sys.argv[1], "rules.toml")
files.replace(path, "lost")
"""
    (tmp_path / "other").write_text("other")
    mounted = ["mount --bind folder folder", "mount --bind rules.toml folder/rules.toml"]
    if folder == "read-only":
        mounted.append("mount -o remount,bind,ro folder")
    shell = " && ".join([*mounted, 'exec "$@"'])
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", script, "other"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    if "unshare" in ended.stderr:
        pytest.skip(f"no mount namespace here: {ended.stderr.strip()}")
    assert "The file was replaced outside this container" in ended.stderr, ended.stderr
    assert (tmp_path / "rules.toml").read_text() == "other"
