"""The commands of docs/operations.md, one block after the other, and what has to be so after them."""

import re

import pytest
import requests

from dev.processes import until
from tests.compose.project import ALWAYS, Project
from tests.conftest import ROOT
from tests.proofs.clients import Load

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = {
    heading: re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for heading, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}


def execute(project: Project, block: str) -> str:
    """As a reader would, from a shell that stops at what fails."""
    return project.run("bash", "-euo", "pipefail", "-c", block)


def test_every_other_block_says_that_it_is_not_executed() -> None:
    """A fence without a language is one that `make test-compose` can't run, and the text before it says so."""
    fences = re.findall(r"((?:[^\n]+\n)+)\n```(\w*)\n", PAGE)
    assert len(fences) == PAGE.count("```") // 2
    assert {bool(language) for before, language in fences if "Not executed in the tests:" in before} == {False}
    assert {bool(language) for before, language in fences if "Not executed in the tests:" not in before} == {True}


def test_made_secrets_are_fit_for_an_address(project: Project) -> None:
    """All that .env.example calls a secret, 64 letters and digits each."""
    execute(project, BLOCKS["Settings"][0])
    made = dict(line.split("=") for line in (project.folder / "secrets.env").read_text().split())
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made.values())
    shown = re.findall(
        r"^#(\w*(?:PASSWORD|SECRET|TOKEN))=(?:first-look|airflow)", (ROOT / ".env.example").read_text(), re.M
    )
    assert made.keys() == set(shown)


def test_down_and_up_keeps_the_published_run(project: Project) -> None:
    """So do Airflow's history, and that the DAG is switched on."""
    expected, runs = project.published(), project.airflow.runs()
    with project.timed("down, and up again"):
        execute(project, BLOCKS["Start, stop, look"][0])
    assert until(lambda: project.api.run_id() is not None, 10)
    assert project.published() == expected
    assert {run["dag_run_id"] for run in runs} <= {run["dag_run_id"] for run in project.airflow.runs()}
    assert not project.airflow.paused()


def test_backup_and_restore_give_the_same_answers(project: Project) -> None:
    """After everything was lost, and without a request that failed."""
    expected, run = project.published(), str(project.api.run_id())
    back_up, restore = BLOCKS["Backup and restore"]
    rows = requests.get(f"{project.api.url}/assignments.csv", timeout=60).content
    with Load(project.api.port, {run: 2640}, rate=50) as load:
        with project.timed("backup"):
            execute(project, back_up)
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
    project.ended(project.airflow.trigger())
    assert project.published() == expected


@pytest.mark.parametrize("block", BLOCKS["Rotating secrets"], ids=["by migrate", "in Postgres first"])
def test_rotated_secrets(project: Project, block: str) -> None:
    """The old ones are refused, all goes on with the new ones."""
    expected = project.published()
    before = passwords(project)
    execute(project, block)
    after = passwords(project)
    changed = {name for name, password in after.items() if password != before[name]}
    assert changed
    assert {name: logs_in(project, name, before[name]) for name in changed} == dict.fromkeys(changed, False)
    assert all(logs_in(project, name, password) for name, password in after.items())
    assert until(lambda: project.api.run_id() is not None, 10)
    assert project.published() == expected
    project.log_in_again()
    project.ended(project.airflow.trigger())


def passwords(project: Project) -> dict[str, str]:
    """Of each role, as the containers have them."""
    config = project.compose("config", "migrate")
    return dict(re.findall(r"URL: postgresql://(\w+):(\w[\w-]*)@", config))


def logs_in(project: Project, role: str, password: str) -> bool:
    ask = ("psql", "--host=postgres", f"--username={role}", "--command=SELECT 1", "voucher")
    said = project.compose("exec", "-T", "--env", f"PGPASSWORD={password}", "postgres", *ask, check=False)
    assert "1 row" in said or "password authentication failed" in said, said
    return "1 row" in said


def test_airflow_in_postgres_with_another_executor(project: Project) -> None:
    """Switched on again, it runs there; and back."""
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
