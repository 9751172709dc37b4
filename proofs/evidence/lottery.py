"""The lottery gives each amount its share, and each customer the same one in all workers, runs and kinds of requests.

A real run with a lottery and a holdout is published and served by several workers. What they answer is compared with
the definition: the first 8 bytes of sha256(salt, 0x1f, customer_id), as a number in [0, 1).
"""

import http.client
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import requests
from tabulate import tabulate

from app.published.lottery import Lottery
from proofs.evidence.served_lottery import SALT, WORKERS, Arm, Served, customer

SHARES, BULK, EACH_WORKER = "shares of a million ids", "in bulk", "on every worker"
RESTARTED, NEW_RUN, NEW_SALT = "after a restart", "in a new run", "with another salt"
IDS, IN_BULK, ONE_BY_ONE, CALL = 1_000_000, 20_000, 2_000, 10_000
CALLS = {"vouchers": "application/json", "vouchers.ndjson": "application/x-ndjson"}


@dataclass(frozen=True)
class Result:
    """said: what was compared, in words."""

    what: str
    said: str
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str]:
        return (self.what,)


@contextmanager
def fixtures(folder: Path) -> Iterator[Served]:
    """Yield a service that answers from a run with a lottery, and delete everything at the end."""
    served = Served(folder)
    try:
        served.open()
        yield served
    finally:
        served.close()


def keys(fixtures: Served) -> list[tuple[str]]:
    return [(what,) for what in (SHARES, BULK, EACH_WORKER, RESTARTED, NEW_RUN, NEW_SALT)]


def trial(fixtures: Served, what: str, ids: int = IDS, in_bulk: int = IN_BULK, one_by_one: int = ONE_BY_ONE) -> Result:
    """Compare answers with the definition; those of a new run also with the answers of the run before."""
    if what == SHARES:
        said, faults = _shares(fixtures, ids)
    elif what == BULK:
        said, faults = _bulk(fixtures, in_bulk)
    elif what in (NEW_RUN, NEW_SALT):
        said, faults = _new_run(fixtures, one_by_one, SALT if what == NEW_RUN else "autumn")
    else:
        if what == RESTARTED:
            fixtures.restart()
        said, faults = _each_worker(fixtures, one_by_one)
    return Result(what, said, tuple(faults[:5]))


def _shares(served: Served, ids: int) -> tuple[str, list[str]]:
    """Return how far the count of each arm and amount is from its share, in standard errors."""
    faults, off = [], [0.0]
    for (country, segment), draws in served.draws.items():
        if segment != "5-13":
            continue
        lottery, tickets = Lottery(draws), sum(draw.tickets for draw in draws)
        counts = Counter(id(lottery.draw(str(number))) for number in range(ids))
        amounts = {choice.voucher_amount: choice.propensity for choice in lottery.choices}
        if sum(amounts.values()) != 1:
            faults.append(f"{country}: the probabilities {amounts} do not add up to 1")
        by_amount: Counter[Decimal] = Counter()
        likely = {}
        for draw, choice in zip(draws, lottery.choices, strict=True):
            by_amount[choice.voucher_amount] += counts[id(choice)]
            likely[f"{draw.chosen_by} {choice.amount}"] = (counts[id(choice)], Fraction(draw.tickets, tickets))
        likely |= {str(amount): (by_amount[amount], share) for amount, share in amounts.items()}
        for name, (count, share) in likely.items():
            errors = abs(count - ids * share) / sqrt(ids * share * (1 - share))
            off.append(errors)
            faults += [f"{country}, {name}: {count:,} of {ids:,}, {errors:.1f} errors from {share}"] * (errors > 3)
    return f"{len(off) - 1} counts of {ids:,} ids are within {max(off):.2f} standard errors of their shares", faults


def _bulk(served: Served, many: int) -> tuple[str, list[str]]:
    faults = []
    for path, kind in CALLS.items():
        for first in range(0, many, CALL):
            numbers = range(first, min(first + CALL, many))
            asked = [json.dumps(customer(number)[3]) for number in numbers]
            body = "\n".join(asked) if "ndjson" in path else f"[{','.join(asked)}]"
            url = f"{served.service.url}/{path}?explain=true"
            found = requests.post(url, body.encode(), headers={"Content-Type": kind}, timeout=60)
            text = found.text.strip()
            answers = json.loads(f"[{text.replace(chr(10), ',')}]" if "ndjson" in path else text)
            told = [(each["chosen_by"], each["voucher_amount"], each["propensity"]) for each in answers]
            faults += _differences(numbers, told, [served.arm(number) for number in numbers])
    return f"{many:,} ids as JSON and as NDJSON get what the definition says, with its probability", faults


def _each_worker(served: Served, many: int) -> tuple[str, list[str]]:
    numbers, workers = range(many), served.workers()
    arms = [served.arm(number) for number in numbers]
    faults = [fault for each in workers for fault in _differences(numbers, _ask(each, numbers), arms)]
    return f"{many:,} ids on {len(workers)} connections to {WORKERS} workers get what the definition says", faults


def _new_run(served: Served, many: int, salt: str) -> tuple[str, list[str]]:
    """Publish another history and compare its arms with those before: the same ids, unless the salt is new."""
    numbers = range(many)
    before = [_drawn(arm) for arm in map(served.arm, numbers)]
    served.publish_again(salt)
    told = _ask(served.workers()[0], numbers)
    arms = [served.arm(number, salt) for number in numbers]
    faults = _differences(numbers, told, arms)
    same = sum(_drawn(arm) == earlier for arm, earlier in zip(arms, before, strict=True))
    if salt == SALT and same != many:
        faults.append(f"{many - same} ids of {many:,} have another arm than before")
    if salt != SALT and not 0.5 < same / many < 0.8:  # most ids get the table's amount, whatever the salt
        faults.append(f"{same:,} ids of {many:,} keep their arm with another salt")
    return f"{same:,} of {many:,} ids keep their arm, and all get what the definition says", faults


def _drawn(arm: Arm) -> tuple[str, Decimal | None]:
    """Return the arm, whose amount is left out if it is the table's, which another history changes."""
    return arm[0], None if arm[0] == "table" else arm[1]


def _ask(connection: http.client.HTTPConnection, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return what `/voucher` answers: how the amount came about, the amount, and its probability."""
    told = []
    for number in numbers:
        connection.request("POST", "/voucher", json.dumps(customer(number)[3]), {"Content-Type": "application/json"})
        found = connection.getresponse()
        body = json.load(found)
        told.append(
            (found.headers["Voucher-Chosen-By"], body["voucher_amount"], float(found.headers["Voucher-Propensity"]))
        )
    return told


def _differences(numbers: Sequence[int], told: Sequence[tuple[Any, ...]], arms: Sequence[Arm]) -> list[str]:
    wanted = [(chosen_by, float(amount), float(likely)) for chosen_by, amount, likely in arms]
    return [
        f"customer {number} got {found}, not {right}"
        for number, found, right in zip(numbers, told, wanted, strict=True)
        if found != right
    ]


def table(results: Sequence[Result]) -> str:
    return tabulate([(each.what, each.said) for each in results], ("", "found"), disable_numparse=True)


def short(results: Sequence[Result]) -> list[str]:
    return []
