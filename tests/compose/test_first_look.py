"""A clean copy of the checkout, a Docker engine, and nothing else set."""

import re

import pytest
import requests

from dev.processes import until
from tests.compose.project import ALWAYS, Project
from tests.conftest import ROOT

CURLS = re.findall(r"```sh\n(curl .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


ADD_A_RULE = """
from pipeline.rules import Rule, RuleBook
RuleBook((*RuleBook.load().rules, Rule("one_amount", "voucher_amount = 123456", "A test.", (0.0, 1.0)))).save()
"""


@pytest.mark.parametrize("curl", CURLS, ids=["voucher", "segmentation-voucher"])
def test_the_published_curls_are_answered(project: Project, curl: str) -> None:
    """Both commands of the README, on the port that was published."""
    assert curl.count(":8000/") == 1
    with project.timed("curl"):
        answer = project.run(
            "sh", "-c", curl.replace("curl ", "curl --silent --fail ").replace(":8000/", f":{project.api.port}/")
        )
    assert answer.strip() == '{"voucher_amount":2640}'


def test_only_three_ports_and_only_here(project: Project) -> None:
    """Postgres and S3 are reached by the other containers alone; the rest from this machine alone."""
    ports = {name: project.state(name)["NetworkSettings"]["Ports"] for name in ALWAYS}
    published = {name: held[0]["HostIp"] for name, all_ in ports.items() for held in all_.values() if held}
    assert published == {"api": "127.0.0.1", "airflow-api": "127.0.0.1"}


def test_first_look_passwords_are_warned_about(project: Project) -> None:
    """In the log of each process that uses one."""
    for service in ("migrate", "airflow-setup", "api"):
        assert "first look's password" in project.compose("logs", service), service


def test_production_refuses_them(project: Project) -> None:
    """And names what to set; nothing is migrated, nothing answers."""
    for service in ("migrate", "airflow-setup", "api"):
        said = project.compose("run", "--rm", "--no-deps", "-T", service, check=False, VOUCHER_ENV="production")
        assert re.search(r"first look's password.*VOUCHER_ENV=production", said, re.DOTALL), said


def test_a_process_knows_no_other_ones_password(project: Project) -> None:
    """Only migrate, which sets them, is given more than one."""
    words = {"owner": "first-look-owner", "pipeline": "first-look-pipeline", "api": "first-look-api"}
    given = {name: " ".join(project.state(name)["Config"]["Env"]) for name in ALWAYS}
    known = {name: {role for role, word in words.items() if word in text} for name, text in given.items()}
    assert {name: roles for name, roles in known.items() if roles} == {
        "postgres": {"owner"}, "airflow-scheduler": {"pipeline"}, "api": {"api"},
    }  # fmt: skip


def test_notebook_rules_run_next_time(project: Project) -> None:
    """A rule that the notebook saves is in force at the next run, without a rebuild and without a restart."""
    project.compose("--profile", "notebook", "up", "-d", "--wait", "--build", "notebook")
    url = f"http://127.0.0.1:{project.environment['NOTEBOOK_PORT']}"
    assert requests.get(f"{url}/api/contents", timeout=10).status_code == 403
    listed = requests.get(f"{url}/api/contents", headers={"Authorization": "token first-look"}, timeout=10).json()
    assert "02_cleaning_rules.ipynb" in {each["name"] for each in listed["content"]}
    before = project.api.run_id()
    rules = project.folder / "pipeline" / "rules.toml"
    saved = rules.read_text()
    project.compose("exec", "-T", "notebook", "python", "-c", ADD_A_RULE)
    assert "one_amount" in rules.read_text()
    project.ended(project.airflow.trigger())
    assert until(lambda: project.api.run_id() != before, 5)
    assert "one_amount" in requests.get(f"{project.api.url}/rules", timeout=10).text

    rules.write_text(saved)
    project.ended(project.airflow.trigger({"force": "the rule was only tried"}))
    assert until(lambda: project.api.run_id() == before, 5), "the same data and rules are the same run"
    project.compose("--profile", "notebook", "rm", "--stop", "--force", "notebook")

    said = project.compose("run", "--rm", "--no-deps", "-T", "notebook", check=False, VOUCHER_ENV="production")
    assert "JUPYTER_TOKEN is the first look's, which VOUCHER_ENV=production refuses" in said
