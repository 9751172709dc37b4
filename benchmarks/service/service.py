"""The service compared with the reference servers, in one run on one machine: `python -m benchmarks service`."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import psutil
import requests
from tabulate import tabulate

from benchmarks.service.latency import Latency, asked, publishes
from benchmarks.service.published import Customer, Published, published
from benchmarks.service.servers import BARE, DRAWN, OURS, PSYCOPG2, SQLALCHEMY, Memory, Server, servers
from benchmarks.service.throughput import TOOL, Caller, rate
from dev.processes import StackError

BULK, MOVING = "/vouchers, customers", f"{OURS} during publishes"
FLAG, FLAG_PATH = "OpenFeature's flag", "/ofrep/v1/evaluate/flags/voucher"
CALL = 10_000  # customers in a call of BULK, and different ones under load
ROWS = (OURS, MOVING, DRAWN, FLAG, BULK, BARE, PSYCOPG2, SQLALCHEMY)
WANTED = {
    (DRAWN, OURS): 0.9,
    (FLAG, OURS): 0.9,
    (OURS, BARE): 0.85,
    (OURS, PSYCOPG2): 5,
    (OURS, SQLALCHEMY): 5,
    (BULK, OURS): 20,
}

Rates = Mapping[str, list[float]]  # per second in each round, by name


@dataclass(frozen=True)
class Effort:
    """Seconds, except `rounds` and `per_second`. `load` and `latency` are the lengths of a round."""

    rounds: int = 5
    load: float = 4
    per_second: int = 500
    latency: float = 5
    publish_every: float = 2


QUICK = Effort(rounds=1, load=1, per_second=100, latency=1.5, publish_every=0.5)


def run(source: Path | None, quick: bool) -> None:
    """Print the tables. Raise StackError if a server does not start or an answer is wrong."""
    effort = QUICK if quick else Effort()
    with tempfile.TemporaryDirectory(prefix="voucher-benchmark-") as name:
        folder = Path(name)
        with published(folder, source) as (known, drawn), servers(folder, known.database, drawn.database) as found:
            of_servers = {name: drawn if name == DRAWN else known for name in found}
            _check(found, of_servers)
            rates = _rates(found, known, folder, effort)
            memory = {name: server.memory() for name, server in found.items()}
            _check(found, of_servers)
            waits = _latencies(found, of_servers, effort)
    print(f"\n{psutil.cpu_count()} CPUs; {effort.rounds} rounds, of each server in turn; medians of the rounds.")
    print(f"Load: {TOOL}, {effort.load} s. Memory: the largest worker's, after it.")
    print(f"Latency: threads in Python, {effort.per_second} requests/s, from when each was due, {effort.latency} s.\n")
    print(tabulate(_by_server(rates, memory, waits), headers="keys", disable_numparse=True), "\n")
    print(tabulate(_verdicts(rates), headers="keys", disable_numparse=True), "\n")


def _check(found: Mapping[str, Server], of_servers: Mapping[str, Published]) -> None:
    """Raise StackError if an answer of the newest run is missing, wrong or misplaced."""
    for name, server in found.items():
        server.check(of_servers[name].customers, of_servers[name].newest)
    ours = of_servers[OURS]
    customers, amounts = (list(islice(cycle(each), CALL)) for each in (ours.customers, ours.newest))
    answer = requests.post(f"{found[OURS].url}/vouchers", json=customers, timeout=60)
    if not answer.ok or [each.get("voucher_amount") for each in answer.json()] != amounts:
        raise StackError(f"POST /vouchers answered {answer.status_code} {answer.text[:200]}")
    caller = Caller(f"{found[OURS].url}{FLAG_PATH}")
    for customer, amount in zip(ours.customers, ours.newest, strict=True):
        _, content = caller.post(_flag_request(customer))
        if json.loads(content)["value"] != amount:
            raise StackError(f"POST {FLAG_PATH} answered {content!r}, not {amount}, for {customer}")
    caller.close()


def _flag_request(customer: Customer) -> bytes:
    fields = {name: value for name, value in customer.items() if name != "customer_id"}
    return json.dumps({"context": {"targetingKey": str(customer["customer_id"])} | fields}).encode()


def _rates(found: Mapping[str, Server], known: Published, folder: Path, effort: Effort) -> Rates:
    """Measure the servers in turn, so that other work on the machine affects all of them."""
    singles, flags, bulk = (folder / f"{name}.jsonl" for name in ("customers", "flags", "bulk"))
    customers = [each | {"customer_id": number} for number, each in enumerate(islice(cycle(known.customers), CALL))]
    singles.write_text("".join(f"{json.dumps(customer)}\n" for customer in customers))
    flags.write_bytes(b"".join(b"%b\n" % _flag_request(customer) for customer in customers))
    bulk.write_text(f"{json.dumps(customers)}\n")
    measure: dict[str, Callable[[float], float]] = {
        name: partial(rate, f"{server.url}/voucher", singles) for name, server in found.items()
    }
    measure[FLAG] = partial(rate, f"{found[OURS].url}{FLAG_PATH}", flags)
    # With two connections, both might reach the same worker.
    measure[BULK] = lambda seconds: CALL * rate(f"{found[OURS].url}/vouchers", bulk, seconds, connections=8)
    for once in measure.values():  # a warm-up: the first requests open connections
        once(1)
    rates: dict[str, list[float]] = {name: [] for name in measure}
    for number in range(effort.rounds):
        for name, again in measure.items():
            rates[name].append(again(effort.load))
        figures = ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in rates.items())
        print(f"round {number + 1}: {figures}", flush=True)
    return rates


def _latencies(
    found: Mapping[str, Server], of_servers: Mapping[str, Published], effort: Effort
) -> Mapping[str, list[Latency]]:
    known = of_servers[OURS]
    waits: dict[str, list[Latency]] = {name: [] for name in (*found, MOVING)}
    for _ in range(effort.rounds):
        for name, server in found.items():
            asked_for = of_servers[name], effort.per_second, effort.latency, server.constant
            waits[name].append(asked(server.url, *asked_for))
        with publishes(known, effort.publish_every):
            waits[MOVING].append(asked(found[OURS].url, known, effort.per_second, effort.latency))
    if {run for wait in waits[MOVING] for run in wait.runs} != set(known.answers):
        raise StackError("While the pointer moved, all answers came from one run.")
    return waits


def _by_server(rates: Rates, memory: Mapping[str, Memory], waits: Mapping[str, list[Latency]]) -> list[dict[str, str]]:
    return [
        {
            "": name,
            "a second": f"{median(rates[name]):,.0f}" if name in rates else "",
            "p50": f"{median(wait.p50 for wait in waits[name]):.1f} ms" if name in waits else "",
            "p99": f"{median(wait.p99 for wait in waits[name]):.1f} ms" if name in waits else "",
            "workers": f"{memory[name].workers}" if name in memory else "",
            "RSS": f"{memory[name].rss:.0f} MiB" if name in memory else "",
            "PSS": f"{memory[name].pss:.0f} MiB" if name in memory else "",
        }
        for name in ROWS
    ]


def _verdicts(rates: Rates) -> list[dict[str, str]]:
    found = []
    for (name, other), wanted in WANTED.items():
        ratio = median(one / two for one, two in zip(rates[name], rates[other], strict=True))
        verdict = "met" if ratio >= wanted else "NOT MET"
        found.append({"ratio": f"{name} : {other}", "wanted": f"{wanted}", "measured": f"{ratio:.2f}", "": verdict})
    return found
