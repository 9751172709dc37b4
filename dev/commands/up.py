"""`make up`: its steps in order, with a line of progress for each."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from dev.commands.progress import say, step
from dev.commands.published import published
from dev.commands.status import addresses, answers
from dev.modules import run_module
from dev.processes import StackError, until
from dev.services import s3
from dev.services.airflow_client import Client
from dev.stack.memory import DATABASE
from dev.stack.stack import DAG, STOP_ORDER, Stack
from shared import environment

RUN_SECONDS = 3600
BACK_TO_SAMPLE = "make up VOUCHER_SOURCE=sample"  # recorded as the reason why invented data replaced a history
ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}


def up(stack: Stack) -> None:
    """Start what is not running, run the DAG if the rules or their source changed, and show an answer."""
    began = time.monotonic()
    _show_settings(stack)
    stack.check_settings()
    list(stack.stop([name for name in chain(*STOP_ORDER) if not stack.processes.running(name)]))  # orphaned children
    stack.check_ports()
    outdated = stack.outdated()
    if outdated or not (stack.has_run and stack.processes.running("airflow-scheduler")):
        _check_source(stack)
    if outdated:
        with step(f"settings have changed: {', '.join(outdated)} stopped"):
            list(stack.stop(outdated))
    stack.write_env()
    with ThreadPoolExecutor() as pool:  # they are independent until Airflow starts
        for together in ((_database, _source, _airflow_database, Stack.rotate_logs), (_airflow, _api)):
            list(pool.map(lambda start: start(stack), together))
    try:
        waiting = _run(stack)
    except StackError as error:
        source = f"The source is {stack.memory.source_text}."
        raise StackError(f"{error}\n\n{answers(stack, still=True)}\n{source}\n{addresses(stack)}") from None
    say("up", time.monotonic() - began)
    if waiting:
        say(f"{addresses(stack)}\n\nA run waits for approval: {waiting}\n{answers(stack)}")
    else:
        _answer(stack)


def _show_settings(stack: Stack) -> None:
    """Show the settings that are remembered, and warn about those that have no effect."""
    for warning in environment.warnings(stack.given):
        say(f"  warning: {warning}")
    stack.memory.check_keys()
    say(f"  source: {stack.memory.source_text}")
    if others := stack.memory.remembered_names:
        say(f"  also remembered: {others}; to forget one: make up NAME=")


def _check_source(stack: Stack) -> None:
    """Check the history before anything is stopped. Raise StackError if a run needs it."""
    if stack.own_s3:
        return
    try:
        stack.check_source()
    except StackError as error:
        if not stack.has_run:
            raise
        say(f"  warning: {error} The API still answers from what was published.")


def _database(stack: Stack) -> None:
    if stack.own_postgres:
        with step(f"Postgres on 127.0.0.1:{stack.postgres.port}"):
            stack.postgres.start()
    with step(f"tables in {'its database' if stack.own_postgres else 'the database of DATABASE_URL'}"):
        run_module(stack.environment, "pipeline", "migrate")


def _source(stack: Stack) -> None:
    if not stack.own_s3:
        return
    with step(f"S3 stand-in on {stack.s3.endpoint}"):
        stack.s3.start(stack.environment_with())
    if not stack.s3.holds(s3.BUCKET, s3.KEY):
        with step(f"synthetic sample in {s3.SOURCE}"):
            sample = stack.sample()
            stack.s3.create(s3.BUCKET)
            stack.s3.put(s3.BUCKET, s3.KEY, sample)


def _airflow_database(stack: Stack) -> None:
    with step("Airflow's own database"):
        stack.airflow.migrate(stack.environment_with())


def _airflow(stack: Stack) -> None:
    with step(f"Airflow on {stack.airflow.url}"):
        stack.airflow.start(stack.environment_with("PIPELINE_DATABASE_URL"), stack.fingerprints["airflow-api"])


def _api(stack: Stack) -> None:
    with step(f"API on {stack.api.url}"):
        stack.api.start(stack.environment_with("API_DATABASE_URL"), stack.fingerprints["api"])


def _run(stack: Stack) -> str | None:
    """Switch the DAG on, and run it unless the last run had the same settings. Return where to approve it, if it waits
    for that or for another run that does.
    """
    wanted, answering = stack.rules_fingerprint(), published(stack.settings[DATABASE])
    client = Client(stack.airflow.url, DAG)
    dags = stack.processes.record("airflow-dags")
    with step(f"{DAG} is registered and switched on"):
        # The settings are part of the DAG, so what an earlier process read does not count.
        if not until(lambda: client.known(dags.since if dags else 0), 90, every=0.5):
            raise StackError(client.missing())
        earlier = {run["dag_run_id"] for run in client.runs()}
        paused = client.paused()
        client.pause(False)
    back = bool(stack.memory.asks_for_sample and answering and not answering.sample)
    if stack.has_run and answering and not back:
        return client.waiting()
    run_id = (_switched_on(client, earlier) if paused and not back else None) or client.trigger(
        {"force": BACK_TO_SAMPLE} if back else {}
    )
    began = time.monotonic()
    waiting = _wait(stack, client, run_id)
    say(f"{DAG} {'waits for approval' if waiting else 'ran'}: {run_id}", time.monotonic() - began)
    if not waiting:
        stack.record_run(wanted)
    return waiting


def _switched_on(client: Client, earlier: set[str]) -> str | None:
    """Return the run that switching the DAG on has started; None if today's run exists already."""
    new: list[str] = []

    def appeared() -> bool:
        new.extend(run["dag_run_id"] for run in client.runs() if run["dag_run_id"] not in earlier)
        return bool(new)

    return new[0] if until(appeared, 15, every=0.5) else None


def _wait(stack: Stack, client: Client, run_id: str) -> str | None:
    """Show how each task ends. If the run waits for approval, or for another run that does, return where to approve it.

    Raise StackError with the end of its log if a task fails for good.
    """
    shown: dict[str, str] = {}
    waiting: str | None = None

    def ended() -> bool:
        nonlocal waiting
        for task in client.tasks(run_id):
            name, state = task["task_id"], task["state"]
            if state != shown.get(name) and state in {*ENDED, "up_for_retry"}:
                say(f"  task {name}: {state}", task["duration"] or 0)
            shown[name] = state
        if client.run(run_id)["state"] in ENDED:
            return True
        waiting = client.waiting()
        return waiting is not None

    if not until(ended, RUN_SECONDS, every=0.5):
        raise StackError(f"{run_id} has not ended after {RUN_SECONDS} s; see {stack.airflow.url}.")
    if waiting:
        return waiting
    ended()
    if failed := next((task for task in client.tasks(run_id) if task["state"] == "failed"), None):
        log = stack.airflow.task_log(DAG, run_id, failed)
        raise StackError(f"Task {failed['task_id']} failed (attempt {failed['try_number']}). Its log ends:\n{log}")
    if (state := client.run(run_id)["state"]) != "success":
        raise StackError(f"{run_id} ended as {state}; see {stack.airflow.url}.")
    return None


def _answer(stack: Stack) -> None:
    if not until(lambda: _answers_from_published(stack), 30):
        raise StackError(f"{stack.api.url}/readyz does not name the published run. {stack.processes.tail('api')}")
    country, answer = stack.api.ask()
    say(f"""{addresses(stack)}

{answers(stack)}
The voucher for the README's customer{"" if country == "Peru" else f" (of {country}: this source has no Peru)"}:
{answer}""")


def _answers_from_published(stack: Stack) -> bool:
    found = published(stack.settings[DATABASE])
    return found is not None and found.run_id == stack.api.run_id()
