"""Failures of docker/backup.sh and docker/restore.sh: no backup and no published answer is lost."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dev.processes import until
from tests.compose.project import Project

BACKUP, RESTORE = "docker/backup.sh", "docker/restore.sh"
DUMPING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND state = 'active';"
RESTORING = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation';"
END_DUMP = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump';"
FULL = 'mount -t tmpfs -o size="$1" none small && cp backups/*.dump small/ && docker/backup.sh small; code=$?; ls -A small; exit $code'

LEAVE_LITTLE = "free=$(df -k --output=avail . | tail -1); head -c $(((free - 8000) * 1024)) /dev/zero > filler"  # 8 MB
SMALL, KEEPER = "voucher-select-small", "voucher-select-small-keeper"


@pytest.fixture(scope="module")
def backup(project: Project) -> Path:
    """Create yesterday's backup, and return its path."""
    return project.folder / project.run(BACKUP).strip()


@pytest.fixture
def unchanged(project: Project, backup: Path) -> Iterator[None]:
    """Check after the test that yesterday's backups, the tables and the published answers are unchanged."""
    before = (backups(project), content(project), project.published())
    yield
    assert (backups(project), content(project), project.published()) == before


def backups(project: Project) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in (project.folder / "backups").glob("*.dump")}


def content(project: Project) -> str:
    """Return the number of rows of each table, and the published run."""
    tables = "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'voucher'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1"
    names = sql(project, tables).split()
    assert len(names) > 10
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*)::text FROM {name}" for name in names)
    return sql(project, f"{counts} UNION ALL SELECT 'current', run_id::text FROM voucher.current_run ORDER BY 1")


def sql(project: Project, statement: str) -> str:
    ask = ("psql", "--username=postgres", "--tuples-only", "--no-align", f"--command={statement}", "voucher")
    return project.compose("exec", "-T", "postgres", *ask)


@contextmanager
def psql(project: Project) -> Iterator[Callable[[str], str]]:
    """Open a psql session. Yield a function that executes a statement within milliseconds and returns one row."""
    command = ["docker", "compose", "exec", "-T", "postgres", "psql", "--username=postgres", "-qAt", "voucher"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, cwd=project.folder, env=dict(project.environment), **pipes) as session:

        def ask(statement: str) -> str:
            session.stdin.write(f"{statement}\n")
            return str(session.stdout.readline().strip())

        ask("SELECT 1;")
        yield ask
        session.stdin.close()


def started(project: Project, *command: str) -> subprocess.Popen[str]:
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(
        command, cwd=project.folder, env=dict(project.environment), start_new_session=True, **pipes
    )  # fmt: skip


def refused(project: Project, *command: str) -> str:
    ended = started(project, *command)
    said, _ = ended.communicate()
    assert ended.returncode, said
    return said


def test_postgres_is_away(project: Project, unchanged: None, backup: Path) -> None:
    """Backup and restore fail with a message while Postgres is down."""
    project.compose("stop", "postgres")
    try:
        assert "no backup was made; the earlier ones" in refused(project, BACKUP)
        assert "Postgres does not answer" in refused(project, RESTORE, str(backup))
    finally:
        project.compose("up", "-d", "--wait", "postgres")


@pytest.mark.parametrize("killed", ["the dump's server process", "the script and what it started"])
def test_a_killed_dump(project: Project, unchanged: None, killed: str) -> None:
    """A partial dump never gets the name of a backup."""
    with psql(project) as ask:
        running = started(project, BACKUP)
        assert until(lambda: ask(DUMPING) != "0" and half_written(project), 30, every=0.001)
        if killed == "the dump's server process":
            assert ask(END_DUMP) == "t"
        else:
            os.killpg(running.pid, signal.SIGKILL)
        said, _ = running.communicate()
    assert running.returncode
    assert killed != "the dump's server process" or "no backup was made" in said
    for left in (project.folder / "backups").glob(".partial.*"):
        left.unlink()


def half_written(project: Project) -> bool:
    return any(path.stat().st_size for path in (project.folder / "backups").glob(".partial.*"))


def test_a_full_disk(project: Project, unchanged: None, backup: Path) -> None:
    """If only half of today's backup fits on the disk, it fails, yesterday's stays, and no partial file remains."""
    (project.folder / "small").mkdir(exist_ok=True)
    size = str(int(backup.stat().st_size * 1.5))
    said = refused(project, "unshare", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", size)
    if "unshare" in said:
        pytest.skip(f"no mount namespace here: {said}")
    assert "no backup was made" in said, said
    assert said.splitlines()[-1] == backup.name and ".partial" not in said.splitlines()[-2:]


def test_the_newest_files_are_kept_and_cron_can_run_it(project: Project, tmp_path: Path) -> None:
    """The script works from another folder with few variables, and its backups are readable only by their owner."""
    made = []
    for _ in range(3):
        ended = subprocess.run(
            [project.folder / BACKUP, tmp_path / "kept here", "2"], cwd="/", env=dict(project.environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        made.append(Path(ended.stdout.strip()))
    assert [*sorted((tmp_path / "kept here").iterdir())] == made[1:]
    assert {path.stat().st_mode & 0o777 for path in made[1:]} == {0o600}


FAULTY: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda dump: b"", "is empty"),
    "cut in its header": (lambda dump: dump[:100], "not a backup that this Postgres can read"),
    "cut in half": (lambda dump: dump[: len(dump) // 2], "cut off or damaged"),
    "cut at its end": (lambda dump: dump[:-1], "cut off or damaged"),
    "damaged": (lambda dump: dump[:-200_000] + bytes(100_000) + dump[-100_000:], "cut off or damaged"),
    "a script": (lambda dump: b"DROP SCHEMA voucher CASCADE;\n", "not a backup that this Postgres can read"),
    "of Postgres 99": (lambda dump: dump.replace(b"17.", b"99.", 2), "is of Postgres 99"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_backup(project: Project, unchanged: None, backup: Path, tmp_path: Path, fault: str) -> None:
    """A restore rejects an unusable backup before it drops anything."""
    change, message = FAULTY[fault]
    (tmp_path / "faulty.dump").write_bytes(change(backup.read_bytes()))
    said = refused(project, RESTORE, str(tmp_path / "faulty.dump"))
    assert message in said and "nothing was changed" in said


def test_a_backup_of_a_newer_version(project: Project, unchanged: None, tmp_path: Path) -> None:
    """A restore rejects a newer version's backup; `migrate` rejects a newer version's database and names the remedy."""
    known = sql(project, "SELECT version_num FROM voucher.alembic_version").strip()
    sql(project, "UPDATE voucher.alembic_version SET version_num = '0999'")
    try:
        newer = project.run(BACKUP, str(tmp_path)).strip()
        said = project.compose("run", "--rm", "-T", "migrate", check=False)
    finally:
        sql(project, f"UPDATE voucher.alembic_version SET version_num = '{known}'")
    assert "error: the tables were migrated by a newer version" in said and "restore a backup" in said
    assert "Traceback" not in said
    assert "is of a newer version of Voucher Select (tables 0999)" in refused(project, RESTORE, newer)


def test_a_killed_restore(project: Project, unchanged: None, backup: Path) -> None:
    """After a killed restore, the previous data are still there."""
    with psql(project) as ask:
        running = started(project, RESTORE, str(backup))
        assert until(lambda: int(ask(RESTORING)) > 10, 60, every=0.001)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        assert until(lambda: ask(RESTORING) == "0", 60)


@pytest.fixture
def small(project: Project, backup: Path, tmp_path: Path) -> Iterator[Project]:
    """Yield a project with the backup restored into a Postgres on a tmpfs of 400 MB, which a second container keeps."""
    small = Project.copy(tmp_path / "small", SMALL)
    labels = (f"--label=com.docker.compose.project={SMALL}", "--label=com.docker.compose.volume=postgres")
    options = ("--opt=type=tmpfs", "--opt=device=tmpfs", "--opt=o=size=400m,uid=999,gid=999,mode=700")  # as postgres
    small.run("docker", "volume", "create", *labels, *options, f"{SMALL}_postgres")
    try:
        small.compose("up", "-d", "--wait", "postgres")
        mounted = f"--volume={SMALL}_postgres:/kept"
        small.run("docker", "run", "--detach", "--rm", f"--name={KEEPER}", mounted, "postgres:17", "sleep", "600")
        small.compose("run", "--rm", "-T", "migrate")
        small.run(RESTORE, str(backup))
        yield small
    finally:
        small.run("docker", "rm", "--force", KEEPER, check=False)
        small.compose("down", "--volumes", "--timeout=5", check=False)


def test_a_full_disk_in_mid_restore(small: Project, backup: Path) -> None:
    """If the disk fills up during a restore, the previous data are back once there is space, and it can be repeated."""
    before = content(small)
    small.compose("exec", "-T", "postgres", "sh", "-c", f"cd /var/lib/postgresql/data; {LEAVE_LITTLE}")
    said = refused(small, RESTORE, str(backup))
    assert "No space left on device" in said and "could not be restored; nothing was changed" in said
    # In the second container: Postgres may be stopping, and a stopping container executes nothing.
    small.run("docker", "exec", KEEPER, "rm", "/kept/filler")
    small.compose("up", "-d", "--wait", "postgres")
    assert content(small) == before
    assert "restored" in small.run(RESTORE, str(backup))
    assert content(small) == before
