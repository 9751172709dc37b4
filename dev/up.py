"""`make up`: the steps in their order, one line of progress for each. Called by `python -m dev up`."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain

from dev import s3
from dev.airflow import Client
from dev.processes import StackError, until
from dev.stack import DAG, STOP_ORDER, Stack, command, module

RUN_SECONDS = 3600
ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}
_printing = threading.Lock()


def say(text: str, seconds: float | None = None) -> None:
    with _printing:
        print(text if seconds is None else f"  {text:<76}{seconds:6.1f} s", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(text, time.monotonic() - began)


def up(stack: Stack) -> None:
    """Start what does not run, have the rules applied when they or their source changed, and show an answer."""
    began = time.monotonic()
    list(stack.stop([name for name in chain(*STOP_ORDER) if not stack.processes.running(name)]))  # what dead ones left
    stack.check_ports()
    if outdated := stack.outdated():
        with step(f"settings have changed: {', '.join(outdated)} stopped"):
            list(stack.stop(outdated))
    stack.write_env()
    with ThreadPoolExecutor() as pool:  # the three know nothing of each other until Airflow starts
        database, source = pool.submit(_database, stack), pool.submit(_source, stack)
        airflow = pool.submit(_airflow_database, stack)
        for each in (database, source, airflow):
            each.result()
        for each in (pool.submit(_airflow, stack), pool.submit(_api, stack)):
            each.result()
    _run(stack)
    say("up", time.monotonic() - began)
    _answer(stack)


def _database(stack: Stack) -> None:
    if stack.own_postgres:
        with step(f"Postgres on 127.0.0.1:{stack.postgres.port}"):
            stack.postgres.start()
    with step(f"tables in {'its database' if stack.own_postgres else 'the database of DATABASE_URL'}"):
        command(module("pipeline", "migrate"), stack.environment)


def _source(stack: Stack) -> None:
    if not stack.own_s3:
        say(f"  source: {stack.settings['VOUCHER_SOURCE']}")
        return
    with step(f"S3 stand-in on {stack.s3.endpoint}"):
        stack.s3.start(stack.environment_with())
    if not stack.s3.holds(s3.BUCKET, s3.KEY):
        with step(f"synthetic sample in {s3.SOURCE}"):
            stack.s3.create(s3.BUCKET)
            stack.s3.put(s3.BUCKET, s3.KEY, stack.sample())


def _airflow_database(stack: Stack) -> None:
    with step("Airflow's own database"):
        stack.airflow.migrate(stack.environment_with())


def _airflow(stack: Stack) -> None:
    with step(f"Airflow on {stack.airflow.url}"):
        stack.airflow.start(stack.environment_with("PIPELINE_DATABASE_URL"), stack.fingerprints["airflow-api"])


def _api(stack: Stack) -> None:
    with step(f"API on {stack.api.url}"):
        stack.api.start(stack.environment_with("API_DATABASE_URL"), stack.fingerprints["api"])


def _run(stack: Stack) -> None:
    """Have the DAG switched on, and one run of it succeed with what is in force now."""
    last, wanted = stack.state / "last-run", stack.rules_fingerprint()
    client = Client(stack.airflow.url, DAG)
    with step(f"{DAG} is known to Airflow and switched on"):
        if not until(client.known, 90, every=0.5):
            raise StackError("\n".join([f"Airflow does not find {DAG}.", *client.import_errors()]))
        earlier = {run["dag_run_id"] for run in client.runs()}
        paused = client.paused()
        client.pause(False)
    if last.exists() and last.read_text() == wanted and stack.published():
        return
    run_id = (_switched_on(client, earlier) if paused else None) or client.trigger()
    with step(f"{DAG} ran: {run_id}"):
        _wait(stack, client, run_id)
    last.write_text(wanted)


def _switched_on(client: Client, earlier: set[str]) -> str | None:
    """The run that switching on has started; None when the day's has been already."""
    fresh: list[str] = []

    def appeared() -> bool:
        fresh.extend(run["dag_run_id"] for run in client.runs() if run["dag_run_id"] not in earlier)
        return bool(fresh)

    return fresh[0] if until(appeared, 15, every=0.5) else None


def _wait(stack: Stack, client: Client, run_id: str) -> None:
    """Say how each task ended; raise StackError with the end of its log when one failed for good."""
    said: dict[str, str] = {}

    def ended() -> bool:
        for task in client.tasks(run_id):
            name, state = task["task_id"], task["state"]
            if state != said.get(name) and state in {*ENDED, "up_for_retry"}:
                say(f"  task {name}: {state}", task["duration"] or 0)
            said[name] = state
        return client.run(run_id)["state"] in ENDED

    if not until(ended, RUN_SECONDS, every=0.5):
        raise StackError(f"{run_id} has not ended after {RUN_SECONDS} s; see {stack.airflow.url}.")
    ended()
    if failed := next((task for task in client.tasks(run_id) if task["state"] == "failed"), None):
        log = stack.airflow.task_log(DAG, run_id, failed)
        raise StackError(f"Task {failed['task_id']} failed (attempt {failed['try_number']}). Its log ends:\n{log}")
    if (state := client.run(run_id)["state"]) != "success":
        raise StackError(f"{run_id} ended as {state}; see {stack.airflow.url}.")


def _answer(stack: Stack) -> None:
    if not until(lambda: stack.api.run_id() == stack.published(), 30):
        raise StackError(f"{stack.api.url}/readyz does not name the published run. {stack.processes.tail('api')}")
    country, answer = stack.api.ask()
    say(f"""
Page and API  {stack.api.url}          documentation: {stack.api.url}/redoc/
Airflow       {stack.airflow.url}          login: airflow / airflow
Command line  . .local/env

The voucher for the README's customer{"" if country == "Peru" else f" (of {country}: this source has no Peru)"}:
{answer}""")
