"""The commands of docs/operations.md, executed block by block, and their effects."""

import re
import subprocess
from pathlib import Path

import pytest
import requests

from dev.processes import until
from proofs.support.request_load import Load
from tests.compose.project import ALWAYS, Project
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = {
    heading: re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}


def execute(project: Project, block: str) -> str:
    """Run a block as if pasted into a shell, and return its output. The exit code is that of the last command."""
    return project.run("sh", "-c", block)


def test_made_secrets_are_fit_for_an_address(tmp_path: Path) -> None:
    """The command sets all secrets of .env.example to 64 hex digits, once, in a file that only its owner can read."""
    env = tmp_path / ".env"
    env.write_text("AIRFLOW_SECRET=kept")
    made = []
    for _ in range(2):
        subprocess.run(["sh", "-c", BLOCKS["Settings"][0].replace(".env", str(env))], check=True)
        made.append(dict(line.split("=") for line in env.read_text().split()))
    assert made[0] == made[1]
    assert made[0].pop("AIRFLOW_SECRET") == "kept"
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made[0].values())
    assert env.stat().st_mode & 0o777 == 0o600
    shown = re.findall(
        r"^#(\w*(?:PASSWORD|SECRET|TOKEN))=(?:first-look|airflow)", (ROOT / ".env.example").read_text(), re.M
    )
    assert made[0].keys() | {"AIRFLOW_SECRET"} == set(shown)


def test_settings_are_checked_without_touching_what_runs(project: Project) -> None:
    """The check accepts default settings, names all that production mode rejects and what the pipeline can't read, and
    restarts no container.
    """
    check = BLOCKS["Settings"][1]
    before = {name: project.container(name) for name in ALWAYS}
    assert "error" not in execute(project, check)
    refused = project.run("sh", "-c", f"VOUCHER_ENV=production {check}", check=False)
    assert re.search("AIRFLOW_PASSWORD.*POSTGRES_PASSWORD.*VOUCHER_API_PASSWORD", refused)
    assert "WITH_S3=1 to publish the sample" in refused
    wrong = project.run(
        "sh", "-c", f"VOUCHER_APPROVAL=maybe VOUCHER_NOTIFY_URL=foo {check.splitlines()[-1]}", check=False
    )
    assert "error: VOUCHER_APPROVAL is 'maybe'" in wrong
    assert "error: VOUCHER_NOTIFY_URL " in wrong
    assert {name: project.container(name) for name in ALWAYS} == before


def test_down_and_up_keeps_the_published_run(project: Project) -> None:
    """The published run, Airflow's history and the unpaused state of the DAG survive `down` and `up`."""
    expected, runs = project.published(), project.airflow.runs()
    with project.timed("down, and up again"):
        execute(project, BLOCKS["Start, stop, look"][0])
        assert "migrate" in execute(project, BLOCKS["Start, stop, look"][1])
    assert until(lambda: project.api.run_id() is not None, 10)
    assert project.published() == expected
    assert {run["dag_run_id"] for run in runs} <= {run["dag_run_id"] for run in project.airflow.runs()}
    assert not project.airflow.paused()


def test_from_a_first_look_to_production(project: Project) -> None:
    """Production mode rejects default passwords in the volume until they are changed, and keeps the published run."""
    expected, env = project.published(), project.folder / ".env"
    execute(project, BLOCKS["Settings"][0])
    own = env.read_text()
    env.write_text(f"{own}VOUCHER_ENV=production\nWITH_S3=1\n")
    owner = dict(line.split("=") for line in own.split())["VOUCHER_OWNER_PASSWORD"]

    up = project.compose("up", "-d", "--wait", check=False)
    assert 'service "migrate" didn\'t complete successfully' in up
    assert "Postgres refused the password; correct it in DATABASE_URL" in project.compose("logs", "migrate")
    change = ("psql", "--quiet", "--username=postgres", f"--command=ALTER ROLE voucher PASSWORD '{owner}'")
    project.compose("exec", "-T", "postgres", *change)
    said = project.compose("run", "--rm", "-T", "migrate", check=False)
    assert "still accepts default passwords of this repository for postgres, airflow, which" in said, said

    execute(project, BLOCKS["From a first look to production"][0])
    assert all(map(project.healthy, ALWAYS))
    assert until(lambda: project.api.run_id() is not None, 10)
    assert project.published() == expected
    passwords_of = {"postgres": "first-look-postgres", "voucher": "first-look-owner", "airflow": "first-look-airflow"}
    assert not any(logs_in(project, role, password) for role, password in passwords_of.items())

    env.write_text("".join(f"{line}\n" for line in own.split() if not line.startswith("AIRFLOW_PASSWORD")))
    project.compose("up", "-d", "--wait")
    project.log_in_again()


def test_backup_and_restore_give_the_same_answers(project: Project) -> None:
    """A restore after all tables were lost gives the same answers, and no voucher request fails meanwhile."""
    expected, run = project.published(), str(project.api.run_id())
    restore, try_it = BLOCKS["Restore"]
    rows = requests.get(f"{project.api.url}/assignments.csv", timeout=60).content
    with Load(project.api.port, {run: 2640}, rate=50) as load:
        with project.timed("backup"):
            execute(project, BLOCKS["Backup"][0])
        with project.timed("a restore that is only tried"):
            assert run in execute(
                project, try_it.replace("voucher-try", f"{project.environment['COMPOSE_PROJECT_NAME']}-try")
            )
        project.compose(
            "exec", "-T", "postgres", "psql", "--username=postgres", "--command=DROP SCHEMA voucher CASCADE", "voucher"
        )
        assert requests.get(f"{project.api.url}/runs", timeout=10).status_code >= 500
        with project.timed("restore"):
            execute(project, restore)
        report = load.report()
        assert report.requests and not report.faults and not report.refused, report.faults
    project.compose("restart", "api")
    assert until(lambda: project.api.run_id() == run, 30)
    assert project.published() == expected
    assert requests.get(f"{project.api.url}/assignments.csv", timeout=60).content == rows
    assert not project.airflow.paused()
    project.ended(project.airflow.trigger())
    assert project.published() == expected


@pytest.mark.parametrize("block", BLOCKS["Rotating secrets"], ids=["by migrate", "in Postgres"])
def test_rotated_secrets(project: Project, block: str) -> None:
    """Only the new secrets work afterwards, and unless the API's own password changes, no request fails."""
    expected, run = project.published(), str(project.api.run_id())
    before = passwords(project)
    with Load(project.api.port, {run: 2640}, rate=50) as load:
        execute(project, block)
        report = load.report()
    after = passwords(project)
    changed = {name for name, password in after.items() if password != before[name]}
    assert changed in ({"voucher_pipeline", "voucher_api"}, {"postgres", "voucher", "airflow"})
    assert report.requests and not report.wrong
    assert "voucher_api" in changed or not (report.faults or report.refused), report.faults
    assert {name: logs_in(project, name, before[name]) for name in changed} == dict.fromkeys(changed, False)
    assert all(logs_in(project, name, password) for name, password in after.items())
    assert until(lambda: project.api.run_id() is not None, 10)
    assert project.published() == expected
    project.log_in_again()
    project.ended(project.airflow.trigger())


def passwords(project: Project) -> dict[str, str]:
    """Return the password of each role, as configured for the containers."""
    config = project.compose("config", "migrate")
    postgres = dict(re.findall(r"(POSTGRES|AIRFLOW_DATABASE)_PASSWORD: (\S+)", config))
    of_itself = {"postgres": postgres["POSTGRES"], "airflow": postgres["AIRFLOW_DATABASE"]}
    return of_itself | dict(re.findall(r"URL: postgresql://(\w+):(\w[\w-]*)@", config))


def logs_in(project: Project, role: str, password: str) -> bool:
    database = "airflow" if role == "airflow" else "voucher"
    ask = ("psql", "--host=postgres", f"--username={role}", "--command=SELECT 1", database)
    said = project.compose("exec", "-T", "--env", f"PGPASSWORD={password}", "postgres", *ask, check=False)
    assert "1 row" in said or "password authentication failed" in said, said
    return "1 row" in said


def test_airflow_in_postgres_with_another_executor(project: Project) -> None:
    """The DAG runs with Airflow's data in Postgres and another executor, and the change can be reverted."""
    expected = project.published()
    kept = (project.folder / ".env").read_text()
    with project.timed("Airflow moved to Postgres and LocalExecutor"):
        execute(project, BLOCKS["Airflow's own data in Postgres, and another executor"][0])
    project.log_in_again()
    client = project.airflow
    assert until(client.known, 60), client.import_errors()
    assert client.runs() == []
    client.pause(False)
    assert until(lambda: [run["state"] for run in client.runs()] == ["success"], 120), client.runs()
    assert project.published() == expected
    (project.folder / ".env").write_text(kept)
    project.compose("up", "-d", "--wait")
    assert all(map(project.healthy, ALWAYS))
    project.log_in_again()
    assert len(project.airflow.runs()) > 1


def test_a_file_of_this_machine(project: Project, tmp_path: Path) -> None:
    """The pipeline reads a file mounted as the page describes, and without the mount it names the missing file."""
    before = (project.folder / ".env").read_text()
    with (tmp_path / "history.parquet").open("wb") as file:
        command = ["docker", "run", "--rm", "--entrypoint=cat", "voucher-select-s3", "/opt/voucher/history.parquet"]
        subprocess.run(command, env=dict(project.environment), stdout=file, check=True)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    plan = ("exec", "-T", "airflow-scheduler", "python", "-m", "pipeline", "plan")
    execute(project, BLOCKS["Your own history"][0].replace("/srv/history", str(tmp_path)))
    assert "511,427" in project.compose(*plan)
    (project.folder / "docker-compose.override.yml").unlink()
    project.compose("up", "-d", "--wait")
    assert "/data/history.parquet: " in project.compose(*plan, check=False)
    (project.folder / ".env").write_text(before)
    project.compose("up", "-d", "--wait")
