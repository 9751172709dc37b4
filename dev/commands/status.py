"""What is shown of a stack: what is running, where, and from which history it answers. Used by `up` and `status`."""

import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

from dev.commands.published import published, rolled_back
from dev.processes import StackError
from dev.services.airflow_client import Client
from dev.stack.memory import DATABASE
from dev.stack.stack import DAG, ROTATION, STOP_ORDER, Stack
from shared.addresses import redact

LINE = "{:<20}{:<10}{:<8}{:<22}{}"
SAMPLE_DATA = "SAMPLE DATA: these answers come from the built-in synthetic sample, which is invented"


def addresses(stack: Stack) -> str:
    return f"""
Page and API  {stack.api.url}          documentation: {stack.api.url}/redoc/
Airflow       {stack.airflow.url}          login: airflow / airflow
Command line  . .local/env
Source        {"the built-in synthetic sample" if stack.memory.is_sample else redact(stack.memory.source)}"""


def answers(stack: Stack, still: bool = False) -> str:
    """Return which run the API answers from, `still` after another failed, and how old its data is."""
    health = stack.api.health()
    if health is None:
        return "The API is not running."
    if not health["run_id"]:
        return "Nothing is published yet."
    found = published(stack.settings[DATABASE])  # not part of the API's answer, which everyone may read
    source = f" of {found.source}" if found and found.run_id == health["run_id"] else ""
    sample = f"\n{SAMPLE_DATA}." if health["sample"] else ""
    run = f"Answers {'still ' if still else ''}come from run {health['run_id']}{source}, {_age(health)}."
    return f"{run}{sample}{_left(stack)}"


def _left(stack: Stack) -> str:
    """Return how to publish the rules and segments of this checkout again if they were rolled back from."""
    if not (run_id := rolled_back(stack.settings[DATABASE])):
        return ""
    return (
        f"\nThe rules and segments here are those of run {run_id}, which was rolled back. To publish it again: "
        f"`. .local/env; python -m pipeline rollback {run_id} --reason …`"
    )


def _age(health: dict[str, Any]) -> str:
    if not health["data_to"]:
        return "without any row"
    return f"data up to {health['data_to'][:10]} ({health['data_age_days']:,.0f} days ago)"


def status(stack: Stack) -> Iterator[str]:
    """Yield the lines of `make status`."""
    unused = {"s3": not stack.own_s3, "postgres": not stack.own_postgres}
    yield LINE.format("part", "process", "port", "up since", "state")
    for name in chain(*STOP_ORDER):
        process = stack.processes.running(name)
        if not process:
            yield LINE.format(name, "-", "-", "-", "not needed: another is used" if unused.get(name) else "down")
            continue
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(process.since))
        healthy = {"api": stack.api.healthy, "s3": stack.s3.healthy, "postgres": stack.postgres.healthy}
        healthy[ROTATION] = lambda: True  # it can't be asked
        state = "healthy" if healthy.get(name, stack.airflow.healthy)() else "not healthy"
        yield LINE.format(name, process.pid, process.port or "-", since, state)
    yield addresses(stack)
    yield f"Last run      {_last_run(stack)}"
    yield f"\n{answers(stack)}"


def _last_run(stack: Stack) -> str:
    """Return how the last run of the DAG ended, or why there can be none."""
    if not (stack.processes.running("airflow-api") and stack.airflow.healthy()):
        return "unknown: Airflow is not running"
    try:
        client = Client(stack.airflow.url, DAG)
        if not client.known():
            return client.missing()
        runs, waiting = client.runs(), client.waiting()
        refused = bool(runs) and client.refused(runs[0]["dag_run_id"])
    except StackError as error:
        return f"unknown: {error}"
    if waiting:
        return f"waits for approval: {waiting}"
    if not runs:
        return f"{DAG} has not run yet"
    state = "refused in Airflow, nothing published" if refused else runs[0]["state"]
    return f"{state}, {runs[0]['dag_run_id']}"
