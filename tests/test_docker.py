"""What can be said of docker/ and docker-compose.yml without a Docker engine; `make test-compose` runs them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import FIRST_LOOK as APP_MARK
from app.settings import Settings as AppSettings
from app.settings import SettingsError as AppSettingsError
from dev.airflow import Airflow
from docker import airflow_setup
from pipeline.settings import FIRST_LOOK, SettingsError, refuse_first_look
from shared.environment import VARIABLES
from tests.conftest import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
EXAMPLE = (ROOT / ".env.example").read_text()
LOCKS = sorted((ROOT / "docker").glob("*.lock"))
# What differs from the stack without Docker, and isn't a secret or a place.
ONLY_IN_CONTAINERS = {
    "CORE__EXECUTION_API_SERVER_URL",  # tasks and API server are two machines
    "DATABASE__SQL_ALCHEMY_CONN",  # may be Postgres
    "SCHEDULER__ENABLE_HEALTH_CHECK",
}
OTHER_VALUES = {"CORE__DAGS_FOLDER", "CORE__FERNET_KEY", "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", "API__SECRET_KEY"}
OTHER_VALUES |= {"API__HOST", "API__PORT", "API__BASE_URL", "API_AUTH__JWT_SECRET"}


def pins(path: Path) -> dict[str, str]:
    """Of packages that a lock file has once, the version; of others, the versions."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", path.read_text(), re.MULTILINE):
        found[name] = f"{found[name]} {version}" if name in found else version
    return found


def resolved(text: str) -> tuple[str, dict[str, str]]:
    """What compose makes of a text while no variable is set, and each variable's default."""
    defaults: dict[str, str] = {}
    while variable := re.search(r"\$\{(\w+):?-([^${}]*)\}", text):  # the innermost first
        defaults[variable[1]] = variable[2]
        text = text.replace(variable[0], variable[2])
    return text, defaults


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_images_have_the_tested_versions(path: Path) -> None:
    """What an image installs is what requirements.lock pins, hashes and all, from wherever pip is told to look."""
    ours, all_ = pins(path), pins(ROOT / "requirements.lock")
    assert ours
    assert not {name: version for name, version in ours.items() if version not in all_.get(name, "").split()}, (
        "make lock"
    )
    text = path.read_text()
    assert set(re.findall(r"--hash=\S+", text)) <= set(
        re.findall(r"--hash=\S+", (ROOT / "requirements.lock").read_text())
    )
    assert not re.search(r"https?://|index-url|find-links", text)


def test_the_airflow_image_is_the_locked_airflow() -> None:
    """The image brings Airflow along; docker/airflow.lock must not."""
    (tag,) = re.findall(
        r"^FROM apache/airflow:slim-(\S+)-python3.12$", (ROOT / "docker/airflow.Dockerfile").read_text(), re.M
    )
    assert tag == pins(ROOT / "requirements.lock")["apache-airflow"]
    assert not [name for name in pins(ROOT / "docker" / "airflow.lock") if name.startswith("apache-airflow")]


def test_airflow_is_set_as_without_docker(tmp_path: Path) -> None:
    """Each of dev/airflow.py's settings, with its value, and no other; where Airflow's defaults do, none."""
    prefix = "AIRFLOW__"
    dev = Airflow(tmp_path, 8080, ROOT / "pipeline" / "dags", "secret").environment
    wanted = {name.removeprefix(prefix): value for name, value in dev.items() if name.startswith(prefix)}
    given = SERVICES["airflow-scheduler"]["environment"]
    here = {n.removeprefix(prefix): resolved(str(v))[0] for n, v in given.items() if n.startswith(prefix)}
    assert here.keys() - ONLY_IN_CONTAINERS == wanted.keys() - {"API__HOST", "API__PORT"}
    same = wanted.keys() - OTHER_VALUES
    assert {name: here[name] for name in same} == {name: wanted[name] for name in same}


def test_every_variable_has_its_example() -> None:
    """.env.example lists each variable of docker-compose.yml and no other, with the default that holds there."""
    text, defaults = resolved(COMPOSE)
    handed_on = set(re.findall(r"^ +([A-Z0-9_]+):(?: *#.*)?$", text, re.MULTILINE))
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert shown.keys() == defaults.keys() | handed_on
    assert {name: shown[name] for name in defaults} == defaults


@pytest.mark.parametrize(
    ("variable", "services"),
    [
        # Airflow takes the delay from the DAG that the DAG processor wrote down, and the task from the one it reads.
        ("VOUCHER_RETRY_SECONDS", {"airflow-dags", "airflow-scheduler"}),
        ("VOUCHER_S3_ANONYMOUS", {"airflow-scheduler", "notebook"}),
        ("VOUCHER_SOURCE", {"airflow-scheduler", "notebook"}),
        ("AWS_SESSION_TOKEN", {"airflow-scheduler", "notebook"}),
        ("VOUCHER_ENV", SERVICES.keys() - {"postgres", "s3"}),
        ("VOUCHER_MEMORY_MIB", {"airflow-scheduler"}),
        ("TODAY", {"airflow-scheduler"}),
        ("VOUCHER_MAX_AGE_HOURS", {"api"}),
        ("VOUCHER_WORKERS", {"api"}),
    ],
)
def test_a_setting_reaches_all_who_read_it(variable: str, services: set[str]) -> None:
    """One that counts in one container counts in all that need it."""
    assert services <= {name for name, service in SERVICES.items() if variable in service.get("environment", {})}


def test_every_setting_of_the_product_reaches_a_container() -> None:
    """None can be set only without Docker."""
    handed_on = {name for service in SERVICES.values() for name in service.get("environment", {})}
    ours = {each.name for each in VARIABLES if {"pipeline", "api", "notebook"} & {*each.readers}}
    assert ours <= handed_on


def test_default_secrets_are_marked_and_stand_in_compose_alone() -> None:
    """So that production can tell them, whatever they are; Python knows the mark and no secret."""
    _, defaults = resolved(COMPOSE)
    secrets = {name: value for name, value in defaults.items() if re.search("PASSWORD|SECRET|TOKEN", name)}
    assert len(secrets) == 9
    assert {name for name, value in secrets.items() if FIRST_LOOK not in value} == {"AIRFLOW_PASSWORD"}
    assert APP_MARK == FIRST_LOOK
    python = [
        path.read_text() for folder in ("app", "pipeline", "shared", "docker") for path in (ROOT / folder).rglob("*.py")
    ]
    typed = {value for value in secrets.values() if len(value) > len(FIRST_LOOK)}
    assert not [value for value in typed for text in python if value in text]


PASSWORD = "postgresql://voucher_api:first-look-api@postgres/voucher"


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL", "AIRFLOW__API_AUTH__JWT_SECRET"],
)
def test_production_refuses_the_first_look_s_secrets(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """It names the variable, never the value; a first look is warned."""
    with pytest.raises(SettingsError, match=f"is in {name}, and VOUCHER_ENV=production refuses it") as refused:
        refuse_first_look({name: PASSWORD, "VOUCHER_ENV": "production"})
    assert "first-look-api" not in str(refused.value)
    refuse_first_look({name: PASSWORD})
    assert f"is in {name}: set your own" in caplog.text
    assert "first-look-api" not in caplog.text


def test_production_takes_ones_own_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """And says nothing of them."""
    own = {"PIPELINE_DATABASE_URL": "postgresql://voucher_pipeline:ours@postgres/voucher", "AWS_SECRET_ACCESS_KEY": "x"}
    refuse_first_look(own | {"VOUCHER_ENV": "production"})
    assert not caplog.text


def test_the_api_refuses_the_first_look_s_password() -> None:
    """In production; else it is taken."""
    with pytest.raises(AppSettingsError, match="API_DATABASE_URL has the first look's password") as refused:
        AppSettings.from_environment({"API_DATABASE_URL": PASSWORD, "VOUCHER_ENV": "production"})
    assert "first-look-api" not in str(refused.value)
    assert AppSettings.from_environment({"API_DATABASE_URL": PASSWORD}).database_url.password == "first-look-api"


def test_production_refuses_a_password_that_is_the_user_s_name(caplog: pytest.LogCaptureFixture) -> None:
    """As Airflow's of the first look is."""
    with pytest.raises(SettingsError, match=r"AIRFLOW_PASSWORD .* VOUCHER_ENV=production refuses it"):
        airflow_setup.guessable("production")
    airflow_setup.guessable("")
    assert "AIRFLOW_PASSWORD" in caplog.text


def test_every_container_is_confined() -> None:
    """Read-only, without privileges, with a limit of memory, and published on this machine alone unless told otherwise."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert all(port.startswith("${PUBLISH_ON:-127.0.0.1}:") for port in service.get("ports", [])), name


@pytest.mark.parametrize("service", ["airflow-scheduler", "notebook"])
def test_what_is_fetched_and_spilled_goes_to_disk(service: str) -> None:
    """To a volume: /tmp is memory, of which the container may have less than a part is large."""
    folder = SERVICES[service]["environment"]["TMPDIR"]
    assert folder != SERVICES[service]["tmpfs"]
    assert f"scratch:{folder}" in SERVICES[service]["volumes"]


@pytest.mark.parametrize("value", ["production", " Production"])
def test_the_notebook_s_token_is_refused_in_production(value: str) -> None:
    """However VOUCHER_ENV is written."""
    environ = {"PATH": "/usr/bin:/bin", "VOUCHER_ENV": value, "JUPYTER_TOKEN": "first-look"}
    ended = subprocess.run(["sh", ROOT / "docker/notebook.sh"], env=environ, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "JUPYTER_TOKEN is the first look's" in ended.stderr


def test_the_images_are_of_one_python() -> None:
    """That which `make lock` makes their lock files for."""
    files = "".join(path.read_text() for path in (ROOT / "docker").glob("*.Dockerfile"))
    froms = re.findall(r"^FROM (\S+)", files, re.MULTILINE)
    assert {"3.12" in image for image in froms} == {True}
