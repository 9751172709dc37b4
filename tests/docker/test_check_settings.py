"""docker/check_settings.py and the pipeline's settings; tests/docker/test_docker.py has its secrets."""

import subprocess
import sys
from pathlib import Path

import pytest

from docker import check_settings
from tests.conftest import ROOT
from tests.docker.test_docker import SERVICES


@pytest.mark.parametrize("mode", ["", "production"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TODAY", "yesterday"),
        ("VOUCHER_APPROVAL", "maybe"),
        ("VOUCHER_APPROVAL_HOURS", "0.5h"),
        ("VOUCHER_DASK", "scheduler"),
        ("VOUCHER_KEEP_RUNS", "0"),
        ("VOUCHER_MEMORY_MIB", "12"),
        ("VOUCHER_NOTIFY_URL", "foo"),
        ("VOUCHER_PAGE_URL", "foo"),
        ("VOUCHER_RETRY_SECONDS", "-1"),
        ("VOUCHER_ROWS", "s3://bucket"),
        ("VOUCHER_S3_ANONYMOUS", "maybe"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that the pipeline can't read is rejected in any mode, and its container gets it."""
    assert check_settings.main({name: value, "VOUCHER_ENV": mode}, ["pipeline"]) == 1
    assert f"error: {name} " in capsys.readouterr().err
    assert name in SERVICES["pipeline-settings"]["environment"]


def test_all_bad_values_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """One check names the bad values of several readers."""
    assert check_settings.main({"VOUCHER_APPROVAL": "maybe", "VOUCHER_NOTIFY_URL": "foo"}, ["pipeline"]) == 1
    said = capsys.readouterr().err
    assert all(f"error: {name} is" in said for name in ("VOUCHER_APPROVAL", "VOUCHER_NOTIFY_URL"))


def test_it_runs_in_the_image(tmp_path: Path) -> None:
    """The script needs only what the Airflow image has."""
    for name in ("pipeline", "shared"):
        (tmp_path / name).symlink_to(ROOT / name)
    script = tmp_path / "check_settings.py"
    script.write_text((ROOT / "docker" / "check_settings.py").read_text())
    environ = {"PYTHONPATH": str(tmp_path), "VOUCHER_APPROVAL": "1"}

    ended = subprocess.run(
        [sys.executable, str(script), "pipeline"], env=environ, capture_output=True, text=True, cwd=tmp_path
    )

    assert (ended.returncode, ended.stderr) == (0, "")
