"""2,000 addresses and keys, for every variable with one: no secret in them is shown, not even in Airflow.

Each case runs `plan` or `run`, `migrate`, `runs`, `notify`, the service with its pages, and reads the tables. Some run
the tasks of the DAG in an Airflow process.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from tabulate import tabulate

from proofs.parts.servers import Servers
from proofs.secrets.addresses import ALL, DATABASES, Case, cases
from proofs.secrets.exercise import Seen, environment, exercise
from proofs.secrets.targets import Targets, open_targets
from proofs.support.environment import ROOT

TRIALS, CASES, TASKS, LEAST = 105, 20, 12, 2000
DAG = """
import json, os, sys
from pipeline.dags.voucher_select import dag_object
from pipeline.notices import delivery
delivery.PAUSES = ()
before = dict(os.environ)
for environ in json.loads(sys.stdin.read()):
    os.environ.clear()
    os.environ.update(before | environ)
    print("state", dag_object.test().state)
"""


@dataclass(frozen=True)
class Result:
    """counted: the cases by variable and place of the secret; outcomes: the commands or DAG runs by outcome."""

    what: str
    number: int
    counted: tuple[tuple[str, int], ...]
    outcomes: tuple[tuple[str, int], ...]
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.what, self.number


@dataclass(frozen=True)
class Fixtures:
    targets: Targets
    airflow: dict[str, str]


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with (
        Servers.open(folder) as servers,
        servers.database() as database,
        open_targets(database, folder, servers.s3, servers.bucket) as targets,
    ):
        yield Fixtures(targets, _airflow(folder / "airflow"))


def keys(fixtures: Fixtures) -> list[tuple[str, int]]:
    return [("airflow" if number % 10 == 9 else "commands", number) for number in range(TRIALS)]


def trial(fixtures: Fixtures, what: str, number: int, size: int = CASES) -> Result:
    """Try cases that no other trial has."""
    drawn: list[Case] = []

    @seed(number)
    @settings(max_examples=size, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases(fixtures.targets, tuple(each for each in ALL if what != "airflow" or each != DATABASES[2])))
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()
    if what == "airflow":
        told, outcomes = _tasks(fixtures, drawn[:TASKS])
        faults = [
            f"{case}: seen {Seen(told).leaks(case.secret)}" for case in drawn[:TASKS] if Seen(told).leaks(case.secret)
        ]
        drawn = drawn[:TASKS]
    else:
        seen = {case: exercise(fixtures.targets, case) for case in drawn}
        outcomes = Counter("worked" if code == 0 else "refused" for each in seen.values() for code in each.codes)
        faults = [
            f"{case}: {fault}" for case, each in seen.items() for fault in (*each.leaks(case.secret), *each.faults)
        ]
    counted = Counter(f"{case.variable} {case.where}" for case in drawn)
    return Result(what, number, tuple(sorted(counted.items())), tuple(sorted(outcomes.items())), tuple(faults))


def table(results: Sequence[Result]) -> str:
    counted: Counter[str] = Counter()
    for each in results:
        counted.update(dict(each.counted))
    places = ("user", "password", "query", "path", "key")
    lines: list[tuple[Any, ...]] = [
        (variable, *(counted[f"{variable} {place}"] for place in places)) for variable in ALL
    ]
    lines.append(("all", *(sum(line[column] for line in lines) for column in range(1, len(places) + 1))))
    outcomes: dict[str, Counter[str]] = {"commands": Counter(), "airflow": Counter()}
    for each in results:
        outcomes[each.what].update(dict(each.outcomes))
    ends = [f"{what}: {', '.join(f'{n:,} {word}' for word, n in sorted(c.items()))}" for what, c in outcomes.items()]
    return "\n".join([tabulate(lines, ("secret in", *places)), "", *ends])


def short(results: Sequence[Result]) -> list[str]:
    """Return whether cases or an outcome are missing."""
    cases_ = sum(number for each in results for _, number in each.counted)
    ends = {(each.what, word) for each in results for word, _ in each.outcomes}
    faults = [] if cases_ >= LEAST else [f"only {cases_} cases"]
    return faults + [f"no {what} {word}" for what in ("commands", "airflow") for word in ("worked", "refused")
                     if (what, word) not in ends]  # fmt: skip


def _airflow(home: Path) -> dict[str, str]:
    """Return the environment of an Airflow with its own metadata database."""
    home.mkdir(parents=True)
    environ = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "pipeline" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "pipeline.executors.Sequential",
        "PYTHONPATH": str(ROOT),
        "VOUCHER_RETRY_SECONDS": "0",
    }
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, env=os.environ | environ, cwd=home, check=True, capture_output=True, timeout=300)
    return environ


def _tasks(fixtures: Fixtures, drawn: Sequence[Case]) -> tuple[str, Counter[str]]:
    """Return the output of a DAG run for each case, and how the runs ended."""
    ended = subprocess.run(
        [sys.executable, "-c", DAG],
        input=json.dumps([environment(fixtures.targets, case) for case in drawn]),
        env=os.environ | fixtures.airflow,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    states = [line.removeprefix("state ") for line in ended.stdout.splitlines() if line.startswith("state ")]
    if len(states) < len(drawn):
        raise RuntimeError(ended.stderr)
    return ended.stdout + ended.stderr, Counter("worked" if "success" in state else "refused" for state in states)
