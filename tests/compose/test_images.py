"""The images: their content, users, sizes and privileges."""

import json
import re

import pytest

from tests.compose.project import ALWAYS, Project

OURS = {"voucher-select-api": "10001:10001", "voucher-select-airflow": "50000", "voucher-select-s3": "10001:10001"}
LARGEST = {"voucher-select-api": 350, "voucher-select-airflow": 1300, "voucher-select-s3": 450}  # MB
SECRET = re.compile(r"first-look|(PASSWORD|SECRET|TOKEN|_KEY)\w*=(?!/)\S", re.IGNORECASE)
BUILDERS = "gcc cc g++ make git curl wget"


@pytest.mark.parametrize("image", OURS)
def test_user_and_size(project: Project, image: str) -> None:
    """Each image runs as its own user, which is not root, and does not exceed its size limit."""
    found = json.loads(project.run("docker", "image", "inspect", image))[0]
    print(f"\n  {image:<60}{found['Size'] / 1e6:6.0f} MB", flush=True)
    assert found["Config"]["User"] == OURS[image]
    assert found["Size"] / 1e6 < LARGEST[image]


@pytest.mark.parametrize("image", OURS)
def test_no_secret_in_any_layer(project: Project, image: str) -> None:
    """No image contains a secret in its build commands, its environment variables or its files."""
    history = project.run("docker", "history", "--no-trunc", "--format={{.CreatedBy}}", image)
    variables = json.loads(project.run("docker", "image", "inspect", "--format={{json .Config.Env}}", image))
    assert not [text for text in (*history.splitlines(), *variables) if SECRET.search(text)]
    search = r"find / -xdev \( -name .env -o -name '*.pem' -path '/opt/*' -o -name secrets.json -o -name .netrc -o -name .git \) 2>/dev/null; grep -rlE 'first-look-|BEGIN [A-Z ]*PRIVATE KEY' /opt/voucher || true"
    assert not project.run("docker", "run", "--rm", "--entrypoint=sh", image, "-c", search).strip()


@pytest.mark.parametrize("service", ALWAYS)
def test_read_only_without_privileges(project: Project, service: str) -> None:
    """Each container runs as a non-root user without capabilities, and can't write to its root file system."""
    state = project.state(service)
    assert state["HostConfig"]["ReadonlyRootfs"]
    assert state["HostConfig"]["CapDrop"] == ["ALL"] and not state["HostConfig"]["CapAdd"]
    assert state["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert state["HostConfig"]["Memory"]
    said = project.compose(
        "exec", "-T", service, "sh", "-c", "id -u; grep CapEff /proc/1/status; touch /x 2>&1 || true"
    )
    user, capabilities, touched = said.strip().splitlines()
    assert int(user) > 0
    assert int(capabilities.split()[1], 16) == 0
    assert "Read-only file system" in touched


def test_the_api_has_no_compiler_and_only_its_packages(project: Project) -> None:
    """The API's image contains no build tools, and only the code and the packages that the API needs."""
    look = f"for name in {BUILDERS} pip; do command -v $name | grep -v ^/usr/local/bin/pip || true; done; ls; python -c 'import duckdb' 2>&1 | tail -1"
    assert project.compose("exec", "-T", "api", "sh", "-c", look).split("\n")[:-1] == [
        "app", "setup.cfg", "shared", "ModuleNotFoundError: No module named 'duckdb'",
    ]  # fmt: skip


def test_airflow_s_packages_agree(project: Project) -> None:
    """The packages of docker/airflow.lock are compatible with those of the base image."""
    assert "No broken requirements" in project.compose("exec", "-T", "airflow-scheduler", "pip", "check")
