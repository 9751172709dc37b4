"""Settings that `make up` rejects before it stops or remembers anything, and ports that it remembers."""

import os
import re
import socket
import sys
from pathlib import Path

import pytest

from dev.commands.up import up
from dev.processes import Processes, StackError
from dev.stack.settings_check import READERS
from dev.stack.stack import Stack
from docker.check_settings import faults
from shared.environment import VARIABLES

BAD = {
    "VOUCHER_ROWS": "s3://bucket",
    "VOUCHER_MEMORY_MIB": "12",
    "VOUCHER_DASK": "scheduler:8786",
    "VOUCHER_S3_ANONYMOUS": "maybe",
    "DATABASE_URL": "db/voucher",
    "PIPELINE_DATABASE_URL": "db/voucher",
    "API_DATABASE_URL": "db/voucher",
    "TODAY": "yesterday",
    "VOUCHER_KEEP_RUNS": "0",
    "VOUCHER_RETRY_SECONDS": "-1",
    "VOUCHER_NOTIFY_URL": "foo",
    "VOUCHER_NOTIFY_FORM": "mail",
    "VOUCHER_NOTIFY_SECRET": "hunter2",
    "VOUCHER_PAGE_URL": "vouchers.example",
    "VOUCHER_APPROVAL": "maybe",
    "VOUCHER_APPROVAL_HOURS": "0.5h",
    "VOUCHER_MAX_AGE_HOURS": "x",
    "VOUCHER_API_KEYS": "hunter2",
    "VOUCHER_CORS_ORIGINS": "*",
    "VOUCHER_HOSTS": "vouchers.example:443",
    "VOUCHER_TRUSTED_PROXIES": "10",
    "VOUCHER_AIRFLOW_URL": "airflow.example",
    "VOUCHER_CURRENCY": "euro",
    "VOUCHER_WORKERS": "two",
}
GOOD = dict.fromkeys(
    ("DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL"), "postgresql://me:word@db/voucher"
) | {
    "VOUCHER_SOURCE": "/data/history.parquet",
    "VOUCHER_NOTIFY_URL": "https://hooks.example/x",
}


def test_every_setting_has_a_bad_value() -> None:
    """All are tested, except the source, which is read, and VOUCHER_ENV, which causes a warning."""
    assert BAD.keys() == {each.name for each in VARIABLES if each.meaning} - {"VOUCHER_SOURCE", "VOUCHER_ENV"}
    assert faults(GOOD, READERS) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_named(name: str) -> None:
    """The error begins with the variable, and shows no secret."""
    (fault,) = faults(GOOD | {name: BAD[name]}, READERS)

    assert re.match(rf"{name}\b", fault)
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    "given",
    [
        {"VOUCHER_APPROVAL": "maybe", "VOUCHER_MAX_AGE_HOURS": "x"},
        {"VOUCHER_S3_ANONYMOUS": "maybe"},
        {"VOUCHER_AIRFLOW_URL": "airflow.example"},
        {"DATABASE_URL": "db/voucher"},
    ],
)
def test_a_bad_value_stops_and_changes_nothing(tmp_path: Path, given: dict[str, str]) -> None:
    """A bad setting is rejected while what runs goes on, even one that the stack would replace, and isn't remembered."""
    processes = Processes(tmp_path)
    processes.start("api", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StackError) as raised:
            up(Stack(tmp_path, given | {"S3_PORT": str(taken.getsockname()[1])}))  # the taken port is a later error

        assert processes.running("api")
    finally:
        processes.stop("api")
    for name in given:
        assert re.search(rf"^{name} .*`make up {name}=` unsets it\.$", str(raised.value), re.MULTILINE)
    assert "remembered" not in str(raised.value)
    assert not (tmp_path / "env").exists()


@pytest.mark.long
def test_a_bad_value_of_an_earlier_version_names_the_way_out(tmp_path: Path) -> None:
    """A bad value that is remembered is named with the command that forgets it, and this command works."""
    Stack(tmp_path, {"VOUCHER_MAX_AGE_HOURS": "x"}).write_env()

    with pytest.raises(
        StackError, match=f"remembered from {tmp_path.name}/env: `make up VOUCHER_MAX_AGE_HOURS=` unsets"
    ):
        Stack(tmp_path, {"TODAY": "2020-05-31"}).check_settings()

    Stack(tmp_path, {"VOUCHER_MAX_AGE_HOURS": ""}).check_settings()


def test_a_port_is_remembered(tmp_path: Path) -> None:
    """A port holds until another value or an empty one is given. Shells and programs do not get it as a variable."""
    chosen = Stack(tmp_path, {"API_PORT": "8701"})
    chosen.write_env()
    again = Stack(tmp_path, {})
    again.write_env()

    assert (
        again.ports == chosen.ports == {"API_PORT": 8701, "AIRFLOW_PORT": 8080, "POSTGRES_PORT": 5432, "S3_PORT": 9000}
    )
    assert again.settings["VOUCHER_PAGE_URL"] == "http://127.0.0.1:8701"
    assert again.memory.remembered_names == "API_PORT"
    assert again.fingerprints == chosen.fingerprints
    assert "export API_PORT" not in (tmp_path / "env").read_text()
    assert "API_PORT" not in again.environment
    assert Stack(tmp_path, {"API_PORT": "8702"}).ports["API_PORT"] == 8702
    assert Stack(tmp_path, {"API_PORT": ""}).ports["API_PORT"] == 8000


def test_an_empty_port_is_the_default_even_while_the_part_runs(tmp_path: Path) -> None:
    """A running part keeps its port if none is given, and moves to the default if an empty one is."""
    processes = Processes(tmp_path)
    processes.start("api", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ, port=8701)
    try:
        assert Stack(tmp_path, {}).ports["API_PORT"] == 8701
        assert Stack(tmp_path, {"API_PORT": ""}).ports["API_PORT"] == 8000
    finally:
        processes.stop("api")
