"""The real DAG, run by Airflow's `dag.test()` in a subprocess with its own metadata database."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import run
from pipeline.publish.database import Database
from pipeline.publish.publication import roll_back
from pipeline.settings import Settings
from proofs.secrets.secrets import DAG
from tests.conftest import ROOT, Bucket
from tests.pipeline.conftest import FREQUENT, history

TEST = """
import json, sys
from pipeline.dags import voucher_select
dag = voucher_select.dag_object
outcome = dag.test(run_conf=json.loads(sys.argv[1]))
print({task.task_id: str(task.state) for task in outcome.get_task_instances()})
sys.exit(outcome.state != "success")
"""


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of an Airflow with its own metadata database."""
    home = tmp_path_factory.mktemp("airflow")
    environ = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "pipeline" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "pipeline.executors.Sequential",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, env=os.environ | environ, cwd=home, check=True, capture_output=True, timeout=300)
    return environ


@pytest.fixture
def dag_run(airflow_home: dict[str, str], pipeline_database: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the DAG once on a source, with parameters."""

    def go(source: str, **params: Any) -> subprocess.CompletedProcess[str]:
        environ = (
            os.environ
            | airflow_home
            | {"PIPELINE_DATABASE_URL": pipeline_database, "VOUCHER_SOURCE": source, "VOUCHER_RETRY_SECONDS": "0"}
        )
        script = [sys.executable, "-c", TEST, json.dumps(params)]
        return subprocess.run(script, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300)

    return go


@pytest.mark.long  # tests/end_to_end has the DAG on a real scheduler
def test_the_dag_publishes(
    bucket: Bucket,
    written: Callable[..., Path],
    dag_run: Callable[..., Any],
    query: Callable[..., list[tuple[Any, ...]]],
) -> None:
    """The DAG's tasks take the data from S3 to the published tables."""
    uri = bucket.put("history.parquet", written(history({}, {"total_orders": "1"}, {"total_orders": None}, *[{}] * 17)))
    result = dag_run(uri)
    assert result.returncode == 0, result.stdout + result.stderr
    assert query("SELECT rows_in, rows_kept, status FROM voucher.run") == [(20, 18, "published")]
    assert query("SELECT count(*) FROM voucher.assignment") == [(18,)]
    assert query("SELECT actor FROM voucher.publication") == [("dag_test",)]


@pytest.mark.long
def test_planned_forced_and_rolled_back(
    bucket: Bucket,
    written: Callable[..., Path],
    dag_run: Callable[..., Any],
    query: Callable[..., list[tuple[Any, ...]]],
    pipeline_database: str,
) -> None:
    """A failed audit fails the task and logs the reason; `plan_only` publishes nothing and logs the changes; `force`
    publishes despite the audit; a withdrawn run is not republished, and its DAG run succeeds.
    """
    first = run.run(Settings(str(written(history({}, {"country_code": "Latvia"}))), pipeline_database), "test")
    uri = bucket.put("history.parquet", written(history({"voucher_amount": 3520.0}), "new.parquet"))
    refused = dag_run(uri)
    assert refused.returncode == 1
    told = refused.stdout + refused.stderr
    assert re.search(
        r"\[error +\] audit: countries_remain: Latvia has no answer any more; expected: every country", told
    )
    assert told.count("Latvia has no answer any more; expected") == 1
    assert "the DAG's parameter force" in refused.stdout + refused.stderr
    assert "{'audit': 'failed', 'load': 'success', 'plan': 'success'," in refused.stdout

    planned = dag_run(uri, plan_only=True, force="to see it")
    assert "'publish': 'skipped'" in planned.stdout
    assert re.search(rf"Peru +frequent_segment +{FREQUENT[1]} orders +2640 \(1 of 1\)", planned.stdout + planned.stderr)
    assert query("SELECT run_id FROM voucher.current_run") == [(first,)]

    assert dag_run(uri, force="Latvia is closed").returncode == 0
    assert query("SELECT action, reason FROM voucher.publication ORDER BY at DESC LIMIT 1") == [
        ("force", "Latvia is closed")
    ]
    roll_back(Database(pipeline_database), first, "ana", "it is open again")
    again = dag_run(uri)
    assert again.returncode == 0
    assert "was rolled back from" in again.stdout + again.stderr
    assert query("SELECT run_id FROM voucher.current_run") == [(first,)]


FACTS = """
import importlib, json, os, sys
from airflow.serialization.serialized_objects import DagSerialization
from pipeline.dags import voucher_select
for approval in json.loads(sys.argv[1]):
    os.environ.update(approval)
    dag = importlib.reload(voucher_select).dag_object
    plan, publish = dag.get_task("plan"), dag.get_task("publish")
    print(dag.dag_id, dag.catchup, dag.max_active_runs, dag.owner, "rules.toml" in dag.doc_md, bool(dag.description))
    print(DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable.summary)
    print([each.name for port in (plan.inlets, plan.outlets, publish.inlets, publish.outlets) for each in port])
    print([task.task_id for task in dag.topological_sort()])
    print(dag.get_task("approve").response_timeout if dag.has_task("approve") else None)
"""


def test_the_dag_is_what_the_users_expect(airflow_home: dict[str, str]) -> None:
    """Voucher_Select runs daily and for new history, without catchup, one run at a time; it has a description, an
    owner, assets, and its tasks in order, with a person's approval if that is set.
    """
    approvals = [
        {},
        {"VOUCHER_APPROVAL": "1"},
        {"VOUCHER_APPROVAL": "yes", "VOUCHER_APPROVAL_HOURS": "0.5"},
    ]
    result = subprocess.run(
        [sys.executable, "-c", FACTS, json.dumps(approvals)],
        env=os.environ | airflow_home,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    always = [
        "Voucher_Select False 1 voucher-select True True",
        "Asset or 0 0 * * *",
        "['voucher_history', 'voucher_answers', 'voucher_publications']",
    ]
    assert result.stdout.splitlines()[-15:] == [
        *(*always, "['plan', 'load', 'audit', 'publish', 'prune']", "None"),
        *(*always, "['plan', 'load', 'audit', 'approve', 'publish', 'prune']", "20:00:00"),
        *(*always, "['plan', 'load', 'audit', 'approve', 'publish', 'prune']", "0:30:00"),
    ]


DELAYS = """
import importlib, os, sys
from pipeline import PipelineError
from pipeline.dags import voucher_select
for value in sys.argv[1:]:
    os.environ["VOUCHER_RETRY_SECONDS"] = value
    try:
        print("delay", importlib.reload(voucher_select).dag_object.get_task("plan").retry_delay.total_seconds())
    except PipelineError as error:
        print("delay", error)
"""


def test_the_delay_before_a_retry_is_a_setting(airflow_home: dict[str, str]) -> None:
    """A blank value means the default; the error for an invalid number, or more than a day, names the variable."""
    values = ["", " ", "0", "5", "86400", "86401", "30s", "99999999999999"]
    result = subprocess.run(
        [sys.executable, "-c", DELAYS, *values],
        env=os.environ | airflow_home,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = [line.removeprefix("delay ") for line in result.stdout.splitlines() if line.startswith("delay ")]
    assert told[:5] == ["30.0", "30.0", "0.0", "5.0", "86400.0"]
    for value, error in zip(values[5:], told[5:], strict=True):
        assert f"VOUCHER_RETRY_SECONDS is '{value}', but must be a whole number from 0 to 86400" in error


WORD = "hunter2Secret"


@pytest.mark.long
def test_no_secret_is_in_a_task_s_log(airflow_home: dict[str, str], pipeline_database: str) -> None:
    """A task's log shows no secret of an address, not even in the errors that caused the task's own error."""
    wrong = re.sub(r"//.*@", f"//{WORD}:{WORD}@", pipeline_database)
    environs = [
        {"PIPELINE_DATABASE_URL": wrong},
        {"PIPELINE_DATABASE_URL": wrong.replace("@", f"@{WORD}@")},
        {"PIPELINE_DATABASE_URL": f"postgresql://{WORD}:{WORD}@127.0.0.1:1/{WORD}?application_name={WORD}"},
        {"PIPELINE_DATABASE_URL": pipeline_database, "VOUCHER_SOURCE": f"s3://KEY:{WORD}@bucket/history.parquet"},
        {"PIPELINE_DATABASE_URL": pipeline_database, "VOUCHER_DASK": f"tcp://u:{WORD}@127.0.0.1:1"},
    ]
    ended = subprocess.run(
        [sys.executable, "-c", DAG],
        input=json.dumps([{"VOUCHER_SOURCE": "/none.parquet"} | each for each in environs]),
        env=os.environ | airflow_home | {"VOUCHER_RETRY_SECONDS": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = ended.stdout + ended.stderr
    assert ended.stdout.count("\nstate ") == len(environs), told
    assert "Postgres refused the password; correct it in PIPELINE_DATABASE_URL" in told
    assert "PIPELINE_DATABASE_URL is not postgresql://role:password@host:port/database" in told
    assert "Postgres does not answer (connection refused); check PIPELINE_DATABASE_URL" in told
    assert WORD not in told
