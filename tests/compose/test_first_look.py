"""The containers with default settings, from a clean copy of the checkout."""

import re

import pytest
import requests

from dev.processes import until
from shared import files
from tests.compose.project import ALWAYS, Project
from tests.conftest import ROOT

PAGES = "".join((ROOT / page).read_text() for page in ("README.md", "docs/api.md"))
ALL_CURLS = re.findall(r"```sh\n(curl .*?)```", PAGES, re.DOTALL)
CURLS = [curl for curl in ALL_CURLS if "run=RUN" not in curl and "customers.csv" not in curl]


CHANGE = """
from dataclasses import replace
from pipeline.rules.kinds import from_cuts
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.rules.segments import SegmentBook
RuleBook((*RuleBook.load().rules, Rule("one_amount", "voucher_amount = 123456", "A test.", (0.0, 1.0)))).save()
first, *others = SegmentBook.load().kinds
SegmentBook((replace(first, segments=from_cuts([7])), *others)).save()
"""


SAVE_AGAIN = "from pipeline.rules.rulebook import RuleBook; RuleBook.load().save()"


@pytest.mark.parametrize("curl", CURLS, ids=["voucher", "segmentation-voucher"])
def test_the_published_curls_are_answered(project: Project, curl: str) -> None:
    """The API answers the curl commands of README.md and docs/api.md on the published port."""
    assert curl.count(":8000/") == 1
    with project.timed("curl"):
        answer = project.run(
            "sh", "-c", curl.replace("curl ", "curl --silent --fail ").replace(":8000/", f":{project.api.port}/")
        )
    assert answer.strip() == '{"voucher_amount":2640}'


def test_a_file_of_customers_is_kept_on_disk(project: Project) -> None:
    """A file that does not fit into the container's memory for temporary files is answered line by line."""
    line = f"Peru,3,{'x' * 1000}\r\n"
    customers = f"country_code,total_orders,note\r\n{line * 40_000}"
    url = f"http://localhost:{project.api.port}/vouchers?segment_name=frequent_segment"
    with project.timed("a file of 40 MB"):
        answer = requests.post(url, data=customers, headers={"Content-Type": "text/csv"}, timeout=120)
    assert answer.status_code == 200
    assert answer.text.splitlines()[1:] == [f"{line.strip()},2640,"] * 40_000
    folders = project.run("docker", "exec", project.container("api"), "sh", "-c", "df /tmp $TMPDIR | tail -n 2")
    assert ["tmpfs" in mounted for mounted in folders.splitlines()] == [True, False]


def test_only_three_ports_and_only_here(project: Project) -> None:
    """Only other containers can reach Postgres and S3; the API and Airflow are published only on this machine."""
    ports = {name: project.state(name)["NetworkSettings"]["Ports"] for name in ALWAYS}
    published = {name: held[0]["HostIp"] for name, all_ in ports.items() for held in all_.values() if held}
    assert published == {"api": "127.0.0.1", "airflow-api": "127.0.0.1"}


def test_first_look_passwords_are_warned_about(project: Project) -> None:
    """`migrate`, the API and `airflow-setup` log a warning about the default passwords that they use."""
    for service in ("migrate", "api"):
        assert "a default password from this repository" in project.compose("logs", service), service
    assert "AIRFLOW_PASSWORD, AIRFLOW_SECRET: anyone can read" in project.compose("logs", "airflow-setup")


@pytest.mark.parametrize("service", ["migrate", "airflow-setup", "api"])
def test_production_refuses_them(project: Project, service: str) -> None:
    """In production mode, each of them refuses to start with default passwords, and names the variables to set."""
    said = project.compose("run", "--rm", "--no-deps", "-T", service, check=False, VOUCHER_ENV="production")
    assert re.search(r"(_URL|AIRFLOW_PASSWORD, AIRFLOW_SECRET).*VOUCHER_ENV=production", said, re.DOTALL), said


def test_a_process_knows_no_other_ones_password(project: Project) -> None:
    """Each running container has at most one role's password; only `migrate`, which sets them, gets more."""
    words = {"owner": "first-look-owner", "pipeline": "first-look-pipeline", "api": "first-look-api"}
    given = {name: " ".join(project.state(name)["Config"]["Env"]) for name in ALWAYS}
    known = {name: {role for role, word in words.items() if word in text} for name, text in given.items()}
    assert {name: roles for name, roles in known.items() if roles} == {
        "postgres": {"owner"}, "airflow-scheduler": {"pipeline"}, "api": {"api"},
    }  # fmt: skip


def test_what_notebooks_save_runs_next_time(project: Project) -> None:
    """Rules and segments that a notebook saves take effect in the next run, without a rebuild or restart."""
    project.compose("--profile", "notebook", "up", "-d", "--wait", "--build", "notebook")
    url = f"http://127.0.0.1:{project.environment['NOTEBOOK_PORT']}"
    assert requests.get(f"{url}/api/contents", timeout=10).status_code == 403
    listed = requests.get(f"{url}/api/contents", headers={"Authorization": "token first-look"}, timeout=10).json()
    assert "02_cleaning_rules.ipynb" in {each["name"] for each in listed["content"]}
    before = project.api.run_id()
    rules, segments = (project.folder / "pipeline" / name for name in ("rules.toml", "segments.toml"))
    saved, of_segments = rules.read_text(), segments.read_text()
    project.compose("exec", "-T", "notebook", "python", "-c", CHANGE)
    assert "one_amount" in rules.read_text()
    project.ended(project.airflow.trigger())
    assert until(lambda: project.api.run_id() != before, 5)
    assert "one_amount" in requests.get(f"{project.api.url}/rules", timeout=10).text
    assert '"7+"' in requests.get(f"{project.api.url}/segments", timeout=10).text

    files.replace(rules, saved)  # as git does
    files.replace(segments, of_segments)
    project.ended(project.airflow.trigger({"force": "the rule was only tried"}))
    assert until(lambda: project.api.run_id() == before, 5), "the same data and rules are the same run"
    said = project.compose("exec", "-T", "notebook", "python", "-c", SAVE_AGAIN, check=False)
    assert "The file was replaced outside this container: restart the container" in said
    assert rules.read_text() == saved
    project.compose("--profile", "notebook", "rm", "--stop", "--force", "notebook")


def test_code_of_the_checkout_does_not_run(project: Project) -> None:
    """Airflow's containers run the code of their image, not of the checkout, and can write to neither."""
    module = project.folder / "pipeline" / "run.py"
    kept = module.read_text()
    module.write_text("raise SystemExit('this is not the code of the image')\n")
    try:
        project.ended(project.airflow.trigger())
    finally:
        module.write_text(kept)
    assert project.airflow.import_errors() == []
    write = ("sh", "-c", "touch /opt/voucher/pipeline/run.py /opt/rules/run.py 2>&1")
    for service in ("airflow-scheduler", "airflow-dags"):
        assert project.compose("exec", "-T", service, *write, check=False).count("touch: cannot touch") == 2


def test_a_notebook_that_could_not_save_does_not_start(project: Project) -> None:
    """If the notebook can't write to the checkout, it does not start, and prints the line that .env needs."""
    run = ("run", "--rm", "--no-deps", "-T", "notebook")
    said = project.compose(*run, check=False, NOTEBOOK_USER="12345:12345")
    owner = (project.folder / "notebooks").stat()
    assert f"add this line to .env and start the notebook again: NOTEBOOK_USER={owner.st_uid}:{owner.st_gid}" in said


def test_production_refuses_the_token(project: Project) -> None:
    """Production mode rejects the default token, with which anyone could open the notebooks."""
    said = project.compose("run", "--rm", "--no-deps", "-T", "notebook", check=False, VOUCHER_ENV="production")
    assert "JUPYTER_TOKEN contains a default password from this repository" in said
