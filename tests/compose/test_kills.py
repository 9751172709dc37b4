"""Each container killed in turn, as by the kernel's out-of-memory killer, under a load of 100 requests a second."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest
from tabulate import tabulate

from dev.processes import until
from proofs.support.request_load import Load
from tests.compose.project import ALWAYS, Project

RATE = 100  # requests a second
KILL = "import os; os.kill({pid}, 9)"  # Docker would not restart a container after `docker kill`


@dataclass(frozen=True)
class Outcome:
    """requests: sent until 3 s after the container was healthy again; failed: how many of them; out: seconds from its
    end to the last failure; back: seconds from its end until it was healthy again.
    """

    container: str
    requests: int
    failed: int
    out: float
    back: float


OUTCOMES: list[Outcome] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print("\n" + tabulate([vars(each) for each in OUTCOMES], headers="keys", floatfmt=".1f"))


@pytest.fixture(params=ALWAYS)
def outcome(request: pytest.FixtureRequest, project: Project) -> Outcome:
    amounts = {str(project.api.run_id()): 2640}
    with Load(project.api.port, amounts, RATE) as load:
        steady = load.during(2)
        assert steady.requests and not steady.faults, steady.faults
        found = kill(project, request.param, load)
    OUTCOMES.append(found)
    return found


def kill(project: Project, service: str, load: Load) -> Outcome:
    pid, before = project.state(service)["State"]["Pid"], project.state(service)["RestartCount"]
    load.report()
    of_the_host = ("--pid=host", "--user=0", "--cap-drop=ALL", "--cap-add=KILL", "--network=none")
    project.run("docker", "run", "--rm", *of_the_host, "voucher-select-api", "python", "-c", KILL.format(pid=pid))
    requests, failed, last, back = 0, 0, 0.0, 0.0
    died = None
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and not (back and time.time() > back + 3):
        report = load.report()
        assert not report.wrong, report.wrong[:3]
        requests += report.requests + report.refused
        failed += len(report.lost) + report.refused
        if report.lost or report.refused:
            last = time.time()
        if not back:
            state = project.state(service)
            if state["RestartCount"] > before:
                died = datetime.fromisoformat(state["State"]["FinishedAt"][:26].rstrip("Z") + "+00:00").timestamp()
                if state["State"]["Running"] and state["State"]["Health"]["Status"] == "healthy":
                    back = time.time()
        time.sleep(0.05)
    assert back and died, f"{service} did not come back:\n{project.compose('logs', '--tail=50', service)}"
    return Outcome(service, requests, failed, max(0.0, last - died), back - died)


def test_a_killed_container_comes_back_and_the_answers_stay(project: Project, outcome: Outcome) -> None:
    """The API answers from memory while another container is down, and every killed container restarts."""
    expected = project.published()
    assert outcome.requests
    if outcome.container != "api":  # there is only one; the table shows how long it was down
        assert not outcome.failed, outcome
    assert until(lambda: all(map(project.healthy, ALWAYS)), 60)
    assert project.published() == expected
    project.compose("exec", "-T", "airflow-scheduler", "python", "-m", "pipeline", "runs")


@pytest.mark.parametrize("service", ["airflow-scheduler", "airflow-api", "postgres"])
def test_a_run_ends_well_although_a_container_is_killed_in_it(project: Project, service: str) -> None:
    """A DAG run succeeds without intervention if a container is killed during it."""
    expected = project.published()
    run_id = project.airflow.trigger()
    assert until(lambda: any(task["state"] == "running" for task in project.airflow.tasks(run_id)), 60, every=0.05)
    with project.timed(f"a run in which {service} was killed, from then on"):
        with Load(project.api.port, {str(project.api.run_id()): 2640}, RATE) as load:
            kill(project, service, load)
        assert until(lambda: all(map(project.healthy, ALWAYS)), 60)
        project.ended(run_id)
    assert project.published() == expected
