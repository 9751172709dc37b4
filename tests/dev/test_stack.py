import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dev.commands import notebooks
from dev.commands.up import up
from dev.ports import free_port
from dev.processes import Process, Processes, StackError, start_time, until
from dev.services import postgres_files, s3
from dev.services.airflow import Airflow
from dev.services.airflow_client import Client
from dev.services.api import Service
from dev.services.postgres import Postgres
from dev.stack import log_rotation
from dev.stack.stack import Stack
from tests.conftest import ROOT

FREE = {"API_PORT": "0", "AIRFLOW_PORT": "0", "POSTGRES_PORT": "0", "S3_PORT": "0"}


@pytest.fixture
def free() -> dict[str, str]:
    """Return the caller's environment, with four free ports."""
    ports: set[int] = set()
    while len(ports) < len(FREE):
        ports.add(free_port())
    return dict(zip(FREE, map(str, ports), strict=True))


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    for record in (tmp_path / "processes").glob("*.json"):
        processes.stop(record.stem)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path, free_port(), "a password", "the admin's").running() as server:
        yield server


def ask(url: str, statement: str) -> object:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()
        return cursor.fetchone() if cursor.description else None


def test_taken_port(tmp_path: Path, free: dict[str, str]) -> None:
    """If a port is in use, the error names it, its process and the variable to set, before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(StackError, match=rf"Port {port} .*process {os.getpid()}.*API_PORT=\d+"):
            Stack(tmp_path, free | {"API_PORT": str(port)}).check_ports()

    assert not (tmp_path / "processes").exists()


def test_port_asked_for_twice(tmp_path: Path, free: dict[str, str]) -> None:
    """One port for two parts is rejected, and the error names both variables."""
    with pytest.raises(StackError, match="asked for by API_PORT and S3_PORT"):
        Stack(tmp_path, free | {"S3_PORT": free["API_PORT"]}).check_ports()


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1", "80.5"])
def test_not_a_port(tmp_path: Path, text: str) -> None:
    """A value that is not a port is rejected, and the error names its variable."""
    with pytest.raises(StackError, match=f"AIRFLOW_PORT={text} is not a port"):
        Stack(tmp_path, {"AIRFLOW_PORT": text}).check_ports()


def test_ports_of_running_parts_are_ours(tmp_path: Path, free: dict[str, str], processes: Processes) -> None:
    """A running part keeps its port unless another is set, and this port does not count as in use."""
    port = int(free.pop("S3_PORT"))
    processes.start(
        "s3", [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], os.environ, port=port
    )
    assert until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20), processes.tail("s3")

    stack = Stack(tmp_path, free)
    stack.check_ports()

    assert stack.ports["S3_PORT"] == port


def test_reused_pid_is_spared(tmp_path: Path, processes: Processes) -> None:
    """A process that has the PID of a recorded process, which has ended, is not stopped."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        try:
            Process("api", other.pid, "of an earlier boot", 0, "").stop()

            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("again", [False, True])
def test_orphans_are_stopped(processes: Processes, again: bool) -> None:
    """Processes that a killed process left running are stopped with it, and before it is started again."""
    leader = processes.start("api", ["sh", "-c", "sleep 600 & echo $!; wait"], os.environ)
    log = processes.log("api")
    assert until(lambda: log.read_text().strip().isdecimal(), 10)
    orphan = int(log.read_text())
    os.kill(leader.pid, signal.SIGKILL)
    assert until(lambda: not leader.running, 10)
    assert start_time(orphan)

    if again:
        processes.start("api", ["sleep", "600"], os.environ)
    else:
        processes.stop("api")

    assert not start_time(orphan)


def test_deaf_process_is_killed(processes: Processes) -> None:
    """A process that ignores SIGTERM is killed."""
    deaf = processes.start("api", ["sh", "-c", "trap '' TERM; echo deaf; sleep 600 & wait; sleep 600"], os.environ)
    assert until(lambda: "deaf" in processes.log("api").read_text(), 10)

    deaf.stop(seconds=0.2)

    assert not deaf.members()


def test_env_is_read_by_sh(tmp_path: Path, free: dict[str, str]) -> None:
    """A plain shell that sources .local/env gets each value unchanged, and no other user can read the file."""
    source = '/data/it\'s "here"/$HOME `date`.parquet'
    stack = Stack(tmp_path, free | {"VOUCHER_SOURCE": source})
    stack.write_env()

    script = f'set -eu; . {tmp_path}/env; printf "%s|%s" "$VOUCHER_SOURCE" "$DATABASE_URL"; command -v python >&2'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert shell.stdout == f"{source}|{stack.postgres.url()}"
    assert shell.stderr.strip() == str(Path(sys.executable).parent / "python")
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_given_database_and_source(tmp_path: Path, free: dict[str, str]) -> None:
    """A custom database and source are used unchanged, and the stack leaves out its own Postgres and S3."""
    given = {"DATABASE_URL": "postgresql://me:word@db/voucher", "VOUCHER_SOURCE": "s3://theirs/history.parquet"}
    aws = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_PROFILE": "work", "VOUCHER_S3_ANONYMOUS": "1"}

    stack = Stack(tmp_path, free | given | aws)

    assert (given | aws).items() <= stack.environment.items()
    assert not {"postgres", "s3"} & stack.fingerprints.keys()


def test_the_page_links_to_this_airflow(tmp_path: Path, free: dict[str, str]) -> None:
    """The page links to Airflow's current port, not an earlier .local/env's. A new port requires an API restart."""
    stack = Stack(tmp_path, free)
    moved = Stack(tmp_path, free | stack.settings | {"AIRFLOW_PORT": str(free_port())})

    assert stack.environment_with("API_DATABASE_URL")["VOUCHER_AIRFLOW_URL"] == stack.airflow.url
    assert moved.settings["VOUCHER_AIRFLOW_URL"] == moved.airflow.url != stack.airflow.url
    assert moved.fingerprints["api"] != stack.fingerprints["api"]


def test_notices_link_to_this_page(tmp_path: Path, free: dict[str, str]) -> None:
    """Notices and logs link to the page's current port, not an earlier .local/env's, unless another URL is given."""
    stack = Stack(tmp_path, free)
    moved = Stack(tmp_path, free | stack.settings | {"API_PORT": str(free_port())})
    given = Stack(tmp_path, free | stack.settings | {"VOUCHER_PAGE_URL": "https://vouchers.example/de"})

    assert stack.environment_with("PIPELINE_DATABASE_URL")["VOUCHER_PAGE_URL"] == stack.api.url
    assert moved.settings["VOUCHER_PAGE_URL"] == moved.api.url != stack.api.url
    assert given.settings["VOUCHER_PAGE_URL"] == "https://vouchers.example/de"
    stack.write_env()
    assert "VOUCHER_PAGE_URL" not in Stack(tmp_path, free).memory.remembered_names
    given.write_env()
    assert Stack(tmp_path, free).settings["VOUCHER_PAGE_URL"] == "https://vouchers.example/de"
    assert "VOUCHER_PAGE_URL" in Stack(tmp_path, free).memory.remembered_names


def test_only_the_pipeline_knows_the_receiver(tmp_path: Path, free: dict[str, str]) -> None:
    """The receiver of notices is remembered in a file that no other user can read, and only Airflow gets it."""
    given = {"VOUCHER_NOTIFY_URL": "https://hooks.example/secret", "VOUCHER_NOTIFY_SECRET": "whsec_x"}
    Stack(tmp_path, free | given).write_env()
    stack = Stack(tmp_path, free)

    assert given.items() <= stack.environment_with("PIPELINE_DATABASE_URL").items()
    for other in (None, "API_DATABASE_URL"):
        assert not given.keys() & stack.environment_with(other).keys()
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600
    assert stack.memory.remembered_names == "VOUCHER_NOTIFY_SECRET, VOUCHER_NOTIFY_URL"


def test_secrets_of_an_earlier_version_are_kept(tmp_path: Path, free: dict[str, str]) -> None:
    """Existing secrets stay as they are. Missing ones are added, once, and no other user can read the file."""
    (tmp_path / "secrets.json").write_text('{"postgres": "theirs", "airflow": "signed"}')

    found = Stack(tmp_path, free).secrets

    assert {"postgres": "theirs", "airflow": "signed"}.items() <= found.items()
    assert len({found[name] for name in ("postgres", "owner", "pipeline", "api", "airflow")}) == 5
    assert Stack(tmp_path, free).secrets == found
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_each_process_knows_its_own_secrets_only(tmp_path: Path, free: dict[str, str]) -> None:
    """The API gets no password of pipeline or owner, and Airflow no API key. A new key restarts only the API."""
    before, stack = Stack(tmp_path, free), Stack(tmp_path, free | {"VOUCHER_API_KEYS": "a-key-of-16-characters"})

    api = " ".join(stack.environment_with("API_DATABASE_URL").values())

    assert stack.secrets["api"] in api
    assert "a-key-of-16-characters" in api
    assert not [name for name in ("postgres", "owner", "pipeline") if stack.secrets[name] in api]
    assert "VOUCHER_API_KEYS" not in stack.environment_with("PIPELINE_DATABASE_URL")
    changed = [name for name, settings in before.fingerprints.items() if settings != stack.fingerprints[name]]
    assert changed == ["api"]


def test_caller_does_not_leak_in(tmp_path: Path, free: dict[str, str]) -> None:
    """Settings of another Airflow, keys of another cloud and settings of another Python do not reach the processes."""
    alien = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "x", "AWS_PROFILE": "x", "PYTHONDONTWRITEBYTECODE": "1"}
    paths = {"PYTHONPATH": "/alien", "PYTHONHOME": "/alien", "PYTHONUSERBASE": "/alien", "PYTHONSTARTUP": "/alien"}

    environment = Stack(tmp_path, free | alien | paths).environment

    assert not alien.keys() & environment.keys()
    assert {name: environment[name] for name in paths if name in environment} == {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"TODAY": "2020-05-31"}, {"airflow-scheduler"}),
        ({"VOUCHER_SOURCE": "/data/history.parquet"}, {"airflow-scheduler"}),
        ({"VOUCHER_MAX_AGE_HOURS": "1"}, {"airflow-scheduler", "api"}),
        ({}, set()),
    ],
)
def test_changed_settings(
    tmp_path: Path, free: dict[str, str], processes: Processes, changed: dict[str, str], parts: set[str]
) -> None:
    """Only parts whose settings have changed need a restart."""
    before = Stack(tmp_path, free)
    for name in ("api", "airflow-scheduler"):
        processes.start(name, ["sleep", "600"], os.environ, settings=before.fingerprints[name])

    after = Stack(tmp_path, free | changed)

    assert set(after.outdated()) == parts


REAL = {"VOUCHER_SOURCE": "/data/history.parquet"}
THEIRS = {"VOUCHER_SOURCE": "s3://theirs/2024/*.parquet", "AWS_PROFILE": "work", "VOUCHER_S3_ANONYMOUS": "1"}
DATABASE = {"DATABASE_URL": "postgresql://me:word@db/voucher", "API_DATABASE_URL": "postgresql://api:word@db/voucher"}
SAMPLE = {"VOUCHER_SOURCE": "s3://voucher-history/history.parquet", "VOUCHER_S3_ANONYMOUS": "0"}


@pytest.mark.parametrize(
    ("first", "then", "source", "others"),
    [
        (REAL, {}, REAL["VOUCHER_SOURCE"], {}),
        (REAL, {"VOUCHER_SOURCE": ""}, REAL["VOUCHER_SOURCE"], {}),
        (REAL, {"VOUCHER_SOURCE": " "}, REAL["VOUCHER_SOURCE"], {}),
        (REAL, {"AWS_PROFILE": "work"}, REAL["VOUCHER_SOURCE"], {"AWS_PROFILE": "work"}),
        (REAL, {"VOUCHER_SOURCE": "/data/other.parquet"}, "/data/other.parquet", {}),
        (REAL, {"VOUCHER_SOURCE": "sample"}, SAMPLE["VOUCHER_SOURCE"], {"VOUCHER_S3_ANONYMOUS": "0"}),
        (THEIRS, {}, THEIRS["VOUCHER_SOURCE"], {"AWS_PROFILE": "work", "VOUCHER_S3_ANONYMOUS": "1"}),
        (THEIRS, THEIRS, THEIRS["VOUCHER_SOURCE"], {"AWS_PROFILE": "work", "VOUCHER_S3_ANONYMOUS": "1"}),
        (THEIRS, {"VOUCHER_S3_ANONYMOUS": ""}, THEIRS["VOUCHER_SOURCE"], {"AWS_PROFILE": "work"}),
        (THEIRS, REAL, REAL["VOUCHER_SOURCE"], {}),
        (THEIRS, {"VOUCHER_SOURCE": "sample"}, SAMPLE["VOUCHER_SOURCE"], {"VOUCHER_S3_ANONYMOUS": "0"}),
        ({}, {"AWS_PROFILE": "work", "AWS_SECRET_ACCESS_KEY": "x"}, SAMPLE["VOUCHER_SOURCE"], {"AWS_PROFILE": None}),
        ({"TODAY": "2020-05-31"}, {}, SAMPLE["VOUCHER_SOURCE"], {"TODAY": "2020-05-31"}),
        ({"TODAY": "2020-05-31"}, {"TODAY": ""}, SAMPLE["VOUCHER_SOURCE"], {"TODAY": None}),
        ({"TODAY": "2020-05-31"}, REAL, REAL["VOUCHER_SOURCE"], {"TODAY": "2020-05-31"}),
        (DATABASE, REAL, REAL["VOUCHER_SOURCE"], DATABASE | {"PIPELINE_DATABASE_URL": DATABASE["DATABASE_URL"]}),
        (DATABASE, {"DATABASE_URL": "postgresql://db/2"}, SAMPLE["VOUCHER_SOURCE"], {"API_DATABASE_URL": "postgresql://db/2"}),
        ({"VOUCHER_SORCE": "/typo"}, {}, SAMPLE["VOUCHER_SOURCE"], {"VOUCHER_SORCE": None}),
    ],
)  # fmt: skip
def test_settings_are_remembered(
    tmp_path: Path,
    free: dict[str, str],
    first: dict[str, str],
    then: dict[str, str],
    source: str,
    others: dict[str, str | None],
) -> None:
    """A setting is remembered until it is changed or set to an empty value; the source, until it is changed. Settings
    that belong to the old source or database are dropped with it.
    """
    Stack(tmp_path, free).write_env()
    Stack(tmp_path, free | first).write_env()

    after = Stack(tmp_path, free | then)

    assert after.environment["VOUCHER_SOURCE"] == source
    assert {name: after.environment.get(name) for name in others} == others
    assert after.own_s3 == (source == SAMPLE["VOUCHER_SOURCE"])
    after.write_env()
    assert Stack(tmp_path, free).fingerprints == after.fingerprints


def test_a_shell_that_sourced_the_sample_does_not_bring_it_back(tmp_path: Path, free: dict[str, str]) -> None:
    """Values that an earlier .local/env exported for the stack's own S3 and Postgres are not the caller's choice."""
    sample = Stack(tmp_path, free)
    sample.write_env()
    Stack(tmp_path, free | REAL | DATABASE).write_env()

    again = Stack(tmp_path, free | sample.settings)

    assert again.environment["VOUCHER_SOURCE"] == REAL["VOUCHER_SOURCE"]
    assert again.environment["DATABASE_URL"] == DATABASE["DATABASE_URL"]
    assert not {"AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"} & again.environment.keys()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("data/h.parquet", "{cwd}/data/h.parquet"),
        ("./data/", "{cwd}/data/"),
        ("../h/*.parquet", "{parent}/h/*.parquet"),
        ("~/h.parquet", "{home}/h.parquet"),
        ("https://host/h.parquet?signature=x", "https://host/h.parquet?signature=x"),
        ("S3://bucket/prefix/", "S3://bucket/prefix/"),
    ],
)
def test_a_source_is_remembered_from_any_folder(
    tmp_path: Path, free: dict[str, str], monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    """The stack remembers a file by its absolute path, and an address unchanged."""
    monkeypatch.chdir(tmp_path)
    Stack(tmp_path, free | {"VOUCHER_SOURCE": given}).write_env()
    monkeypatch.chdir("/")

    source = Stack(tmp_path, free).environment["VOUCHER_SOURCE"]

    assert source == kept.format(cwd=tmp_path, parent=tmp_path.parent, home=Path.home())


def test_keys_of_another_s3_are_not_written_down(tmp_path: Path, free: dict[str, str]) -> None:
    """The keys reach the stack's processes but no file. Without them, an error for the remembered source names them."""
    keys = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_SECRET_ACCESS_KEY": "hunter2"}
    private = THEIRS | {"VOUCHER_S3_ANONYMOUS": "no"}
    stack = Stack(tmp_path, free | private | keys)
    stack.write_env()

    assert keys.items() <= stack.environment_with("PIPELINE_DATABASE_URL").items()
    assert "hunter2" not in (tmp_path / "env").read_text()
    with pytest.raises(StackError, match=r"AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, which .* does not keep"):
        Stack(tmp_path, free).memory.check_keys()
    for enough in (keys, {"AWS_PROFILE": "work"}, THEIRS, REAL, {"VOUCHER_SOURCE": "sample"}):
        Stack(tmp_path, free | enough).memory.check_keys()


def test_what_is_told_of_the_source_holds_no_secret(tmp_path: Path, free: dict[str, str]) -> None:
    """The stack shows its source and the command for the sample, and only the names of other settings."""
    signed = {
        "VOUCHER_SOURCE": "https://u:hunter2@host/x?signature=hunter2",
        "VOUCHER_API_KEYS": "hunter2hunter2hunter2",
    }
    Stack(tmp_path, free | signed | DATABASE).write_env()

    memory = Stack(tmp_path, free).memory

    assert "hunter2" not in memory.source_text + memory.remembered_names
    assert f"remembered from {tmp_path.name}/env; `make up VOUCHER_SOURCE=sample` goes back" in memory.source_text
    assert memory.remembered_names == "API_DATABASE_URL, DATABASE_URL, PIPELINE_DATABASE_URL, VOUCHER_API_KEYS"


@pytest.mark.parametrize(
    ("first", "given", "known"),
    [
        (REAL | DATABASE | {"VOUCHER_API_KEYS": "a-key-of-16-characters"}, {}, REAL),
        (REAL, {"VOUCHER_SOURCE": "/data/other.parquet"}, {"VOUCHER_SOURCE": "/data/other.parquet"}),
        (THEIRS, {"AWS_SECRET_ACCESS_KEY": "hunter2"}, THEIRS | {"AWS_SECRET_ACCESS_KEY": "hunter2"}),
        ({"TODAY": "2020-05-31"}, {"AWS_PROFILE": "work", "AIRFLOW_HOME": "x"}, {}),
        (REAL, {"VOUCHER_SOURCE": "sample"}, {}),
    ],
)
def test_a_notebook_is_given_the_source_alone(
    tmp_path: Path, free: dict[str, str], first: dict[str, str], given: dict[str, str], known: dict[str, str]
) -> None:
    """A notebook gets the settings that it needs to read the stack's history, and no database address. If the S3
    stand-in does not hold the sample, the notebook gets none of its settings and creates the sample itself.
    """
    Stack(tmp_path, free | first).write_env()

    found = notebooks.environment(Stack(tmp_path, free | given))

    assert {name: value for name, value in found.items() if name not in {*free, "PATH", "PYTHONPATH"}} == known


def test_a_notebook_does_not_take_the_sample_for_another_object(tmp_path: Path, free: dict[str, str]) -> None:
    """If the source is in the S3 stand-in, which is not running, the error says how to start it."""
    other = {"VOUCHER_SOURCE": "s3://voucher-history/mine.parquet", "AWS_SECRET_ACCESS_KEY": s3.SECRET_KEY}
    Stack(tmp_path, free | other).write_env()

    with pytest.raises(StackError, match=r"s3://voucher-history/mine.parquet is in it. Run `make up`"):
        notebooks.environment(Stack(tmp_path, free))


def test_an_environment_that_is_not_complete_names_the_way_out(tmp_path: Path) -> None:
    """If the environment lacks a package, a command names the package and the remedy."""
    (tmp_path / "psutil.py").write_text("raise ModuleNotFoundError('as if it were missing', name='psutil')")
    words = [sys.executable, "-m", "dev", "status"]

    ended = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )

    assert ended.returncode == 1
    assert re.match(r"The environment .* is not complete \(as if it were missing\). Run `make up`", ended.stderr)
    assert "Traceback" not in ended.stderr


def test_an_env_that_is_no_script_is_named(tmp_path: Path, free: dict[str, str]) -> None:
    """A corrupt .local/env is rejected with its path, and not treated as empty."""
    (tmp_path / "env").write_text("export VOUCHER_SOURCE='/data/his")

    with pytest.raises(StackError, match=f"{tmp_path}/env is no shell script. Delete it"):
        _ = Stack(tmp_path, free).settings


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{folder}/gone.parquet", "{folder}/gone.parquet: no such file"),
        ("{folder}/text/", "{folder}/text/b.parquet is not a Parquet file"),
        ("{folder}/other.parquet", "it has Timestamp. Write it with all six"),
        ("https://127.0.0.1:{closed}/history.parquet", "can't be fetched"),
        ("s3://bucket/history.parquet", "S3 does not answer at http://127.0.0.1:{closed}"),
    ],
)
def test_a_wrong_source_is_named_before_anything_changes(
    tmp_path: Path, free: dict[str, str], source: str, fault: str
) -> None:
    """An unusable source stops the start before any process; the error names it and the command for the sample."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "b.parquet").write_text("no Parquet")
    pq.write_table(pa.table({"Timestamp": [1]}), tmp_path / "other.parquet")
    words = {"folder": str(tmp_path), "closed": str(free_port())}
    own = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{words['closed']}", "AWS_PROFILE": "", "VOUCHER_S3_ANONYMOUS": "1"}
    Stack(tmp_path, free | own | {"VOUCHER_SOURCE": source.format(**words)}).write_env()

    with pytest.raises(StackError) as raised:
        up(Stack(tmp_path, free))

    assert fault.format(**words) in str(raised.value)
    assert "`make up VOUCHER_SOURCE=sample` goes back to the sample" in str(raised.value)
    assert not (tmp_path / "processes").exists()


@pytest.mark.usefixtures("processes")
def test_a_start_that_was_broken_off_is_gone_on_with(tmp_path: Path) -> None:
    """A start completes what an interrupted one began: Postgres gets its database, and the S3 stand-in answers."""
    server, storage = Postgres(tmp_path, free_port(), "a password", "the admin's"), s3.S3(tmp_path, free_port())
    home = postgres_files.prepare_home(tmp_path)
    (home / "new-half").mkdir()
    (home / "word-half").write_text("the admin's")
    try:
        server._start()
        server.start()
        storage.processes.start("s3", [sys.executable, "-m", "moto.server", "-p", str(storage.port)], os.environ)
        storage.start(dict(os.environ))

        assert ask(server.url(), "SELECT 1") == (1,)
        assert not storage.holds("bucket", "key")
        assert not [*home.glob("new-*"), *home.glob("word-*")]
    finally:
        server.stop()
        storage.stop()
        server.remove()


@pytest.mark.long
def test_half_a_schema_of_airflow_is_replaced(tmp_path: Path) -> None:
    """Airflow's own database is created anew if its first migration was interrupted, and kept if it was completed."""
    airflow = Airflow(tmp_path, free_port(), ROOT / "pipeline" / "dags", "s" * 64)
    airflow.home.mkdir()
    (airflow.home / "airflow.cfg").write_text("[core")
    with contextlib.closing(sqlite3.connect(airflow.home / "airflow.db")) as half:
        half.execute("CREATE TABLE dag (half INTEGER)")

    assert airflow.migrate(os.environ)
    assert not airflow.migrate(os.environ)

    with contextlib.closing(sqlite3.connect(airflow.home / "airflow.db")) as whole:
        assert "dag_id" in [column for _, column, *_ in whole.execute("PRAGMA table_info(dag)")]


def test_postgres_survives_kill(server: Postgres) -> None:
    """After kill -9, even with a lock file that names a running process, Postgres starts again with its data."""
    ask(server.url(), "CREATE TABLE kept AS SELECT 2640 AS amount")
    server.kill()
    lock = next(server.folder.glob("postgres*/data/postmaster.pid"), None) or Path(
        (server.folder / "postgres.folder").read_text(), "data", "postmaster.pid"
    )
    lock.write_text("\n".join([str(os.getppid()), *lock.read_text().splitlines()[1:]]) + "\n")

    server.start()

    assert ask(server.url(), "SELECT amount FROM kept") == (2640,)


def test_postgres_of_an_earlier_version(server: Postgres) -> None:
    """If Postgres rejects the superuser's password, as an older state folder's does, the error names the remedy."""
    with pytest.raises(StackError, match="`make clean` deletes it"):
        replace(server, admin_password="of another secrets.json").healthy()


def test_postgres_listens_on_this_machine_only(server: Postgres) -> None:
    """Postgres listens on 127.0.0.1 and on no socket file."""
    process = psutil.Process(server.start().pid)
    listening = [
        each for each in process.net_connections("all") if each.status == "LISTEN" or each.family == socket.AF_UNIX
    ]

    assert [(each.family, tuple(each.laddr)) for each in listening] == [(socket.AF_INET, ("127.0.0.1", server.port))]


@contextlib.contextmanager
def busy_airflow() -> Iterator[tuple[Client, list[tuple[str, str]]]]:
    """Yield a client, and the requests of an Airflow that is too busy to answer the first one to each address."""
    seen: list[tuple[str, str]] = []
    ended = threading.Event()

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.command, self.path.partition("?")[0]))
            if seen.count(seen[-1]) == 1:
                ended.wait(20)
                return
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps({"access_token": "x", "dag_runs": [], "dag_run_id": "one"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Client(f"http://127.0.0.1:{server.server_port}", "Voucher_Select", seconds=0.3), seen
        finally:
            ended.set()
            server.shutdown()


def test_an_airflow_that_answers_late_is_asked_again_and_starts_no_run_twice() -> None:
    """The client repeats logins and reads, but not the start of a run; then the error says where to look."""
    with busy_airflow() as (client, seen):
        assert client.runs() == []
        seen.clear()
        with pytest.raises(StackError, match=r"Airflow on http://127.0.0.1:[0-9]+ does not answer.*PART=airflow-api"):
            client.trigger()
        assert seen.count(("POST", "/api/v2/dags/Voucher_Select/dagRuns")) == 1


def test_an_api_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make logs PART=api"):
        Service(tmp_path, free_port()).ask()


@pytest.mark.parametrize("full", [False, True])
def test_a_long_log_is_copied_and_emptied(tmp_path: Path, full: bool) -> None:
    """A log is copied and emptied while its writer keeps it open. Without room for a copy, it is only emptied."""
    log, old = tmp_path / "api.log", tmp_path / "api.log.1"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 10_000)
        if full:
            old.mkdir()  # no copy can be written, as on a full disk
        log_rotation.rotate(log, limit=10_000)
        assert log.stat().st_size == 10_000
        log_rotation.rotate(log, limit=9_999)
        writer.write(b"y")
    assert log.read_bytes() == b"y"
    assert full or old.read_bytes() == b"x" * 10_000


def test_the_stack_rotates_its_logs(tmp_path: Path, free: dict[str, str], processes: Processes) -> None:
    """A separate process, which runs as long as the stack, shortens any log that is too long."""
    stack = Stack(tmp_path, free)
    log = processes.log("api")
    log.parent.mkdir()
    log.write_bytes(b"x" * (log_rotation.LIMIT + 1))

    stack.rotate_logs()

    assert until(lambda: log.stat().st_size < 1 << 16, 20), processes.tail("log-rotation")
    assert log.with_name("api.log.1").exists()
    assert list(stack.stop(["log-rotation"])) == ["log-rotation"]
