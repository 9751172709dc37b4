"""docker/ and docker-compose.yml, checked without a Docker engine; `make test-compose` runs them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings as AppSettings
from app.settings import SettingsError as AppSettingsError
from dev.services.airflow import Airflow
from docker import airflow_setup, check_settings, s3
from pipeline.migrations.default_logins import DEFAULTS
from pipeline.settings import DEFAULT_SECRET, SettingsError, reject_default_secrets
from shared.environment import VARIABLES
from tests.conftest import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
EXAMPLE = (ROOT / ".env.example").read_text()
OF_OTHERS = {"proxy", "prometheus", "grafana"}  # services of profiles whose images are not ours
LOCKS = sorted((ROOT / "docker").glob("*.lock"))
# Differences from the stack without Docker, except secrets and locations, which are in OTHER_VALUES.
ONLY_IN_CONTAINERS = {
    "CORE__EXECUTION_API_SERVER_URL",  # tasks and the API server run in different containers
    "DATABASE__SQL_ALCHEMY_CONN",  # may be in Postgres
    "SCHEDULER__ENABLE_HEALTH_CHECK",
    "DAG_PROCESSOR__PRINT_STATS_INTERVAL",  # `docker compose logs` would show what is in a file without Docker
}
OTHER_VALUES = {"CORE__DAGS_FOLDER", "CORE__FERNET_KEY", "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", "API__SECRET_KEY"}
OTHER_VALUES |= {"API__HOST", "API__PORT", "API__BASE_URL", "API_AUTH__JWT_SECRET"}


def pins(path: Path) -> dict[str, str]:
    """Return the version of each package in a lock file; several versions are separated by blanks."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", path.read_text(), re.MULTILINE):
        found[name] = f"{found[name]} {version}" if name in found else version
    return found


def resolved(text: str) -> tuple[str, dict[str, str]]:
    """Return what Compose makes of a text if no variable is set, and the default of each variable."""
    defaults: dict[str, str] = {}
    while variable := re.search(r"\$\{(\w+):?([+-])([^${}]*)\}", text):  # the innermost first
        name, sign, value = variable.groups()
        if sign == "-":
            defaults[name] = value
        text = text.replace(variable[0], value if sign == "-" else "")
    # The text after these is a part of AIRFLOW_DATABASE_URL and VOUCHER_PAGE_URL.
    defaults |= {"AIRFLOW_DATABASE": "", "TLS_HOST": ""}
    return text, defaults


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_images_have_the_tested_versions(path: Path) -> None:
    """An image installs the versions and hashes of requirements.lock, from the index that pip is configured for."""
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
    """The base image contains the locked Airflow, and docker/airflow.lock does not."""
    (tag,) = re.findall(
        r"^FROM apache/airflow:slim-(\S+)-python3.12$", (ROOT / "docker/airflow.Dockerfile").read_text(), re.M
    )
    assert tag == pins(ROOT / "requirements.lock")["apache-airflow"]
    assert not [name for name in pins(ROOT / "docker" / "airflow.lock") if name.startswith("apache-airflow")]


def test_airflow_is_set_as_without_docker(tmp_path: Path) -> None:
    """Airflow has the settings of dev/services/airflow.py, with the same values, except those listed above."""
    prefix = "AIRFLOW__"
    dev = Airflow(tmp_path, 8080, ROOT / "pipeline" / "dags", "secret").environment
    wanted = {name.removeprefix(prefix): value for name, value in dev.items() if name.startswith(prefix)}
    given = SERVICES["airflow-scheduler"]["environment"]
    here = {n.removeprefix(prefix): resolved(str(v))[0] for n, v in given.items() if n.startswith(prefix)}
    assert here.keys() - ONLY_IN_CONTAINERS == wanted.keys() - {"API__HOST", "API__PORT"}
    same = wanted.keys() - OTHER_VALUES
    assert {name: here[name] for name in same} == {name: wanted[name] for name in same}


def test_every_variable_has_its_example() -> None:
    """.env.example lists each variable of docker-compose.yml and no other, with its default."""
    text, defaults = resolved(COMPOSE)
    handed_on = set(re.findall(r"^ +([A-Z0-9_]+):(?: *#.*)?$", text, re.MULTILINE))
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert shown.keys() == defaults.keys() | handed_on
    assert {name: shown[name] for name in defaults} == defaults


@pytest.mark.parametrize(
    ("variable", "services"),
    [
        # Airflow takes the delay from the DAG that the DAG processor stored, and the task from the DAG file.
        ("VOUCHER_RETRY_SECONDS", {"airflow-dags", "airflow-scheduler"}),
        ("VOUCHER_S3_ANONYMOUS", {"airflow-scheduler", "notebook"}),
        ("VOUCHER_SOURCE", {"airflow-scheduler", "notebook"}),
        ("AWS_SESSION_TOKEN", {"airflow-scheduler", "notebook"}),
        ("VOUCHER_ENV", SERVICES.keys() - {"postgres", "s3", "pipeline-settings"} - OF_OTHERS),
        ("VOUCHER_MEMORY_MIB", {"airflow-scheduler"}),
        ("TODAY", {"airflow-scheduler"}),
        ("VOUCHER_MAX_AGE_HOURS", {"api", "api-2"}),
        ("VOUCHER_CURRENCY", {"api", "api-2"}),
        ("VOUCHER_WORKERS", {"api", "api-2"}),
    ],
)
def test_a_setting_reaches_all_who_read_it(variable: str, services: set[str]) -> None:
    """A setting reaches all containers that read it."""
    assert services <= {name for name, service in SERVICES.items() if variable in service.get("environment", {})}


def test_every_setting_of_the_product_reaches_a_container() -> None:
    """Every setting of the pipeline, the API and the notebooks can be set for a container."""
    handed_on = {name for service in SERVICES.values() for name in service.get("environment", {})}
    ours = {each.name for each in VARIABLES if {"pipeline", "api", "notebook"} & {*each.readers}}
    assert ours <= handed_on


def test_default_secrets_are_marked_and_stand_in_compose_alone() -> None:
    """All default secrets but Airflow's login have the mark that production mode rejects; Python code contains none."""
    _, defaults = resolved(COMPOSE)
    secrets = {name: value for name, value in defaults.items() if re.search("PASSWORD|SECRET|TOKEN", name)}
    assert len(secrets) == 10
    assert {name for name, value in secrets.items() if DEFAULT_SECRET not in value} == {"AIRFLOW_PASSWORD"}
    python = [
        path.read_text() for folder in ("app", "pipeline", "shared", "docker") for path in (ROOT / folder).rglob("*.py")
    ]
    typed = {value for value in secrets.values() if len(value) > len(DEFAULT_SECRET)}
    assert not [value for value in typed for text in python if value in text]


PASSWORD = "postgresql://voucher_api:first-look-api@postgres/voucher"


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL", "AIRFLOW__API_AUTH__JWT_SECRET"],
)
def test_production_rejects_default_secrets(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Production mode rejects a default secret, other modes warn. Both messages name the variable, never the value."""
    with pytest.raises(SettingsError, match=f"{name} contains a default password .* does not allow") as refused:
        reject_default_secrets({name: PASSWORD, "VOUCHER_ENV": "production"})
    assert "first-look-api" not in str(refused.value)
    reject_default_secrets({name: PASSWORD})
    assert f"{name} contains a default password from this repository; set your own" in caplog.text
    assert "first-look-api" not in caplog.text


def test_production_takes_ones_own_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Production mode accepts custom secrets without a warning."""
    own = {"PIPELINE_DATABASE_URL": "postgresql://voucher_pipeline:ours@postgres/voucher", "AWS_SECRET_ACCESS_KEY": "x"}
    reject_default_secrets(own | {"VOUCHER_ENV": "production"})
    assert not caplog.text


def test_the_api_rejects_the_default_password() -> None:
    """The API rejects the default password in production mode, and accepts it otherwise."""
    with pytest.raises(AppSettingsError, match="API_DATABASE_URL contains a default password") as refused:
        AppSettings.from_environment({"API_DATABASE_URL": PASSWORD, "VOUCHER_ENV": "production"})
    assert "first-look-api" not in str(refused.value)
    assert AppSettings.from_environment({"API_DATABASE_URL": PASSWORD}).database_url.password == "first-look-api"


@pytest.mark.parametrize("password", ["airflow", "first-look-airflow"])
def test_airflow_s_secrets_are_named_as_they_are_set(password: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One error names all secrets with a default value, or the user's name as the password, as .env spells them."""
    environ = {
        "VOUCHER_ENV": "production",
        "AIRFLOW_USER": "airflow",
        "AIRFLOW_PASSWORD": password,
        "AIRFLOW__API__SECRET_KEY": "first-look-only",
        "AIRFLOW__API_AUTH__JWT_SECRET": "first-look-only",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://airflow:first-look-airflow@postgres/airflow",
    }
    assert airflow_setup.main(environ) == 1
    assert capsys.readouterr().err.startswith("error: AIRFLOW_DATABASE_PASSWORD, AIRFLOW_PASSWORD, AIRFLOW_SECRET: ")
    own = {"AIRFLOW_USER": "airflow", "AIRFLOW_PASSWORD": "ours", "AIRFLOW__API__SECRET_KEY": "ours"}
    assert airflow_setup.public(own) == []


ALL_SECRETS = {
    "AIRFLOW_DATABASE_PASSWORD", "AIRFLOW_PASSWORD", "AIRFLOW_SECRET", "POSTGRES_PASSWORD", "VOUCHER_API_PASSWORD",
    "VOUCHER_OWNER_PASSWORD", "VOUCHER_PIPELINE_PASSWORD",
}  # fmt: skip
OWN = dict.fromkeys(ALL_SECRETS, "ours") | {"WITH_S3": "1"}
OWN_S3 = OWN | {"WITH_S3": "0", "AWS_ENDPOINT_URL_S3": "set", "AWS_SECRET_ACCESS_KEY": "set"}
OWN_POSTGRES = {"WITH_POSTGRES": "0", "DATABASE_URL": "set", "PIPELINE_DATABASE_URL": "set", "API_DATABASE_URL": "set"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (OWN, set()),
        (OWN_S3, set()),
        ({}, {*ALL_SECRETS, "WITH_S3", "VOUCHER_SOURCE"}),
        (dict.fromkeys(OWN, ""), {*ALL_SECRETS, "WITH_S3", "VOUCHER_SOURCE"}),
        (OWN | {"POSTGRES_PASSWORD": "first-look-postgres"}, {"POSTGRES_PASSWORD"}),
        (OWN | {"VOUCHER_API_PASSWORD": ""}, {"VOUCHER_API_PASSWORD"}),
        (OWN | {"VOUCHER_API_PASSWORD": "", "API_DATABASE_URL": "set"}, set()),
        (OWN_POSTGRES | {"WITH_S3": "1"}, {"AIRFLOW_PASSWORD", "AIRFLOW_SECRET"}),
        (OWN_S3 | {"AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL_S3": ""}, {"AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY"}),
        (OWN_S3 | {"AWS_SECRET_ACCESS_KEY": "", "VOUCHER_S3_ANONYMOUS": "1"}, set()),
    ],
)  # fmt: skip
def test_production_names_all_that_it_refuses(
    settings: dict[str, str], named: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The check names default passwords, the sample unless WITH_S3=1 is set, and stand-in values for another S3."""
    code = check_settings.main(settings | {"VOUCHER_ENV": " Production"})
    said = capsys.readouterr().err
    assert {*re.findall(r"[A-Z]+_[A-Z0-9_]+", said)} - {"VOUCHER_ENV"} == named
    assert code == (1 if named else 0)
    assert check_settings.main(settings) == 0, "outside production nothing is refused"


@pytest.mark.parametrize(
    ("password", "code"), [("ours", 0), ("first-look-grafana", 1), ("", 1)], ids=["own", "default", "empty"]
)
def test_a_profile_s_password_is_checked_alone(password: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The check of a profile refuses its own default password in production, and asks for no other secret."""
    environ = {"VOUCHER_ENV": "production", "GRAFANA_PASSWORD": password}
    assert check_settings.main(environ, ["GRAFANA_PASSWORD"]) == code
    said = capsys.readouterr().err
    assert {*re.findall(r"[A-Z]+_[A-Z0-9_]+", said)} - {"VOUCHER_ENV"} == ({"GRAFANA_PASSWORD"} if code else set())
    assert password != "first-look-grafana" or password not in said
    assert check_settings.main({"GRAFANA_PASSWORD": password}, ["GRAFANA_PASSWORD"]) == 0


def test_the_check_hears_of_every_secret_and_keeps_none() -> None:
    """The check gets the value of initial passwords only. Of all other secrets, it gets only whether they are set."""
    given = SERVICES["settings"]["environment"]
    assert {*ALL_SECRETS} <= given.keys()
    shown = {name for name, value in given.items() if value and not re.fullmatch(r"\$\{\w+:?\+set\}", value)}
    assert shown == {*check_settings.INITIAL}
    assert SERVICES["settings"]["network_mode"] == "none"


def test_whatever_starts_waits_for_the_check() -> None:
    """No other service starts if the check fails, because each depends on it."""

    def needs(name: str) -> set[str]:
        direct = {*SERVICES[name].get("depends_on", {})}
        return direct.union(*map(needs, direct))

    assert {name for name in SERVICES if "settings" not in needs(name)} == {"settings"}
    assert SERVICES["grafana-settings"]["entrypoint"][-1] in SERVICES["grafana-settings"]["environment"]
    assert "grafana-settings" in needs("grafana")


OF_INTERFACES = {"AIRFLOW_PASSWORD", "GRAFANA_PASSWORD"}  # not of a role in Postgres


def test_default_logins_are_those_of_compose() -> None:
    """`migrate` tries the default passwords that docker-compose.yml gives to the roles."""
    _, defaults = resolved(COMPOSE)
    tried = {f"{DEFAULT_SECRET}-{word}" for word in DEFAULTS.values()}
    assert tried == {
        value for name, value in defaults.items() if name.endswith("_PASSWORD") and name not in OF_INTERFACES
    }
    assert {role for role in DEFAULTS if role.startswith("voucher")} == set(
        re.findall(r"postgresql://(\w+):", resolved(COMPOSE)[0])
    )


def test_the_stand_in_serves_the_default_source_alone() -> None:
    """The S3 stand-in serves the sample only at the default VOUCHER_SOURCE, never at another."""
    assert resolved(COMPOSE)[1]["VOUCHER_SOURCE"] == f"s3://{s3.BUCKET}/{s3.KEY}"


def test_no_code_is_mounted() -> None:
    """The containers run the images' code. Airflow reads rules and segments in pipeline/; Jupyter writes only these."""
    mounts = {name: [*map(str, service.get("volumes", []))] for name, service in SERVICES.items()}
    of_the_checkout = {mount for each in mounts.values() for mount in each if "./" in mount}
    assert of_the_checkout == {
        "./docker/initdb.sh:/docker-entrypoint-initdb.d/initdb.sh:ro", "./pipeline:/opt/rules:ro",
        "./notebooks:/opt/voucher/notebooks", "./docker/caddy:/etc/caddy:ro", *MONITORING, *WRITTEN,
    }  # fmt: skip
    assert [name for name, each in mounts.items() if {*WRITTEN} & {*each}] == ["notebook"]


MONITORING = [
    "./docker/prometheus:/etc/prometheus:ro",
    "./docker/grafana/dashboards:/etc/grafana/dashboards:ro",
    *(f"./{path}:/etc/{path.removeprefix('docker/')}:ro" for path in (
        "docker/grafana/provisioning/datasources", "docker/grafana/provisioning/dashboards",
    )),
]  # fmt: skip
WRITTEN = [
    str(
        {
            "type": "bind",
            "source": f"./pipeline/{name}",
            "target": f"/opt/voucher/pipeline/{name}",
            "bind": {"create_host_path": False},
        }
    )
    for name in ("rules.toml", "segments.toml")
]


def test_a_busy_machine_has_five_minutes() -> None:
    """Health checks run every second while a container starts, and fail it only after 300 s."""
    checks = [service["healthcheck"] for service in SERVICES.values() if "healthcheck" in service]
    assert {(check["start_period"], check["start_interval"]) for check in checks} == {("300s", "1s")}


@pytest.mark.parametrize(
    "path", [".env", "secrets.env", "backups/voucher-1.dump", "voucher.sql.gz", "docker-compose.override.yml"]
)
def test_secrets_and_backups_are_not_committed(path: str) -> None:
    """Git ignores secrets and backups."""
    assert not subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode


def test_every_container_is_confined() -> None:
    """Each container is read-only and unprivileged, with a memory limit; by default, its ports are local."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert all(re.match(r"\$\{(TLS_)?PUBLISH_ON:-127.0.0.1\}:", port) for port in service.get("ports", [])), name


@pytest.mark.parametrize(
    ("service", "volume"), [("airflow-scheduler", "scratch"), ("notebook", "scratch"), ("api", "files")]
)
def test_what_is_fetched_and_spilled_goes_to_disk(service: str, volume: str) -> None:
    """Temporary files go to a volume: /tmp is in memory, and the container may have less memory than a file needs.

    The API has one of its own, because the others hold parts of the history.
    """
    folder = SERVICES[service]["environment"]["TMPDIR"]
    assert folder != SERVICES[service]["tmpfs"]
    assert f"{volume}:{folder}" in SERVICES[service]["volumes"]


@pytest.mark.parametrize("value", ["production", " Production"])
def test_the_notebook_s_token_is_refused_in_production(value: str) -> None:
    """Production mode rejects the default token, however VOUCHER_ENV is spelled."""
    environ = {"PATH": "/usr/bin:/bin", "VOUCHER_ENV": value, "JUPYTER_TOKEN": "first-look"}
    ended = subprocess.run(["sh", ROOT / "docker/notebook.sh"], env=environ, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "JUPYTER_TOKEN contains a default password" in ended.stderr


def test_the_images_are_of_one_python() -> None:
    """The images have the Python version for which `make lock` creates their lock files."""
    files = "".join(path.read_text() for path in (ROOT / "docker").glob("*.Dockerfile"))
    froms = re.findall(r"^FROM (\S+)", files, re.MULTILINE)
    assert {"3.12" in image for image in froms} == {True}
