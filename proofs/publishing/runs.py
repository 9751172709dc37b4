"""Any run on record answers byte for byte as it did while it was published, and says what it is.

Each run is of a history of its own, no two of whose answers are equal. All customers are asked, of each country and
segment: one by one, and all in one request, as JSON and as NDJSON.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import requests
from tabulate import tabulate

from proofs.publishing.histories import COUNTRIES, CUSTOMERS, Customer
from proofs.publishing.running_stack import RunningStack

RUNS = 30
OWN = ("run_status", "because", "published_at", "checked_at", "data_age_days")  # may differ between two explanations


@dataclass(frozen=True)
class Result:
    """runs: those that were asked by their ids; answers: the responses that were compared with earlier ones."""

    status: str
    runs: int
    answers: int
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str]:
        return (self.status,)


fixtures = RunningStack.open


@dataclass(frozen=True)
class Answers:
    """The bodies of one run by request, without those of explanations, and the statuses that its headers named."""

    bodies: dict[str, bytes]
    explained: list[dict[str, Any]]
    named: Counter[tuple[str | None, str | None]]  # Voucher-Run and Voucher-Run-Status

    @property
    def number(self) -> int:
        return len(self.bodies) + len(self.explained)


def ask(address: str, run: str | None = None, customers: Sequence[Customer] = CUSTOMERS) -> Answers:
    """Ask for these customers, of the published run or of the one that is named. Raises requests.HTTPError."""
    named: Counter[tuple[str | None, str | None]] = Counter()
    lines = b"\n".join(customer.request for customer in customers)
    with requests.Session() as session:

        def post(path: str, body: bytes, media: str = "application/json", **query: str) -> bytes:
            query |= {"run": run} if run else {}
            headers = {"Content-Type": media}
            response = session.post(f"{address}{path}", body, params=query, headers=headers, timeout=30)
            response.raise_for_status()
            named[response.headers.get("Voucher-Run"), response.headers.get("Voucher-Run-Status")] += 1
            return response.content

        array = b"[%b]" % lines.replace(b"\n", b",")
        bodies = {f"customer {each.place}": post("/voucher", each.request) for each in customers}
        bodies["vouchers"] = post("/vouchers", array)
        bodies["vouchers.ndjson"] = post("/vouchers.ndjson", lines, "application/x-ndjson")
        explained = json.loads(post("/vouchers", array, explain="true"))
    return Answers(bodies, explained, named)


def differences(run: str, live: Answers, now: Answers) -> list[str]:
    """Return where the answers of a run differ from those while it was live."""
    bodies = [(name, body, now.bodies[name]) for name, body in live.bodies.items()]
    fields = [
        (f"{before['segment']}: {name}", value, after[name])
        for before, after in zip(live.explained, now.explained, strict=True)
        for name, value in before.items()
        if name not in OWN
    ]
    return [f"run {run}: {name} is {after!r:.90}" for name, before, after in (*bodies, *fields) if before != after]


def sayings(run: str, now: Answers, status: str) -> list[str]:
    """Return what a run says wrongly of itself, in a header or in an explanation."""
    faults = [f"run {run}: the headers name {each}" for each in now.named if each != (run, status)]
    live = status == "current"
    for each in now.explained:
        if each["run_status"] != status or live == ("is not live" in each["because"]):
            faults.append(f"run {run}, {status}: {each['run_status']}, {each['because']!r}")
    return faults


def published(stack: RunningStack, number: int) -> Result:
    """Publish so many runs, ask each while it is live, and all again at the end. The last one is still live then."""
    live = {}
    for _ in range(number):
        stack.publish(stack.new_history())
        stack.settle()
        live[stack.current()] = ask(stack.address)
    *_, last = live
    distinct = {each.bodies["vouchers"] for each in live.values()}
    faults = [] if len(distinct) == number else [f"only {len(distinct)} of {number} runs have answers of their own"]
    for run, before in live.items():
        again = ask(stack.address, run)
        faults += differences(run, before, again) + sayings(run, again, "current" if run == last else "published")
    return Result("published", len(live), sum(each.number for each in live.values()), tuple(faults))


def withdrawn(stack: RunningStack) -> Result:
    """Roll back from a run: its answers stay what they were."""
    previous = stack.current()
    stack.publish(stack.new_history())
    stack.settle()
    run, live = stack.current(), ask(stack.address)
    stack.command("rollback", previous, "--reason", "proof")
    stack.settle()
    again = ask(stack.address, run)
    faults = differences(run, live, again) + sayings(run, again, "withdrawn")
    return Result("withdrawn", 1, live.number, tuple(faults))


def planned(stack: RunningStack) -> Result:
    """Plan a run and ask for its answers; they are the same once it is published."""
    run, history = _unpublished(stack, stack.new_history(), "plan")
    before = ask(stack.address, run)
    stack.publish(history)
    stack.settle()
    faults = differences(run, ask(stack.address), before) if stack.current() == run else [f"run {run} is not live"]
    return Result("planned", 1, before.number, tuple(faults + sayings(run, before, "planned")))


def rejected(stack: RunningStack) -> Result:
    """Let the audits reject a run that lacks a country: it has the answers of its own history."""
    customers = [replace(each, country="Chile") if each.country == COUNTRIES[-1] else each for each in CUSTOMERS]
    run, _ = _unpublished(stack, stack.new_history(customers), "run")
    found, number = ask(stack.address, run, customers), stack.histories()[run]
    faults = [
        f"run {run}: {customer} is answered from history {customer.number(body)}"
        for customer, body in zip(customers, found.bodies.values(), strict=False)  # without those of /vouchers
        if customer.number(body) != number
    ]
    return Result("rejected", 1, found.number, tuple(faults + sayings(run, found, "rejected")))


def _unpublished(stack: RunningStack, history: Path, command: str) -> tuple[str, Path]:
    """Load a history by a command that does not publish it; return its run and the history."""
    known = set(stack.histories())
    stack.pipeline(command, "--source", str(history))
    (run,) = set(stack.histories()) - known
    return run, history


TRIALS: dict[str, Callable[[RunningStack], Result]] = {
    "published": partial(published, number=RUNS),
    "withdrawn": withdrawn,
    "rejected": rejected,
    "planned": planned,
}


def keys(fixtures: RunningStack) -> list[tuple[str]]:
    return [(status,) for status in TRIALS]


def trial(fixtures: RunningStack, status: str) -> Result:
    return TRIALS[status](fixtures)


def table(results: Sequence[Result]) -> str:
    lines = [(each.status, each.runs, each.answers, len(each.faults)) for each in results]
    return tabulate(lines, ("asked for runs that are", "runs", "answers compared", "faults"))


def short(results: Sequence[Result]) -> list[str]:
    return [f"no {status} run was asked" for status in TRIALS if status not in {each.status for each in results}]
