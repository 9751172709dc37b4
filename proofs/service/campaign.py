"""A campaign as a file, sent by curl: any length takes the same memory, no line is lost, each bad line is told.

One line in a thousand is bad. Answers are compared with those of /vouchers in JSON.
"""

import csv
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from tabulate import tabulate

from proofs.service.running_service import RunningService

FEW, MANY = 10_000, 1_000_000
EVERY = 1000  # one line of so many is bad
SAMPLE = 997  # one customer of so many is compared with JSON; never a bad one
GROWTH = 8.0  # MiB that a worker may need more for MANY than for FEW
COLUMNS = ("email", "country_code", "segment_name", "total_orders", "last_order_ts")
BAD = (
    "{0},Atlantis,frequent_segment,7,",
    "{0},Peru,frequent_segment,some,",
    "{0},Peru",
    '"{0},Peru,frequent_segment,7,',
)


@dataclass(frozen=True)
class Result:
    """seconds: of the whole transfer; peak: MiB of the larger worker; p99: of /voucher before and meanwhile, in ms."""

    columns: str
    customers: int
    seconds: float
    mib: float
    peak: float
    told: int
    p99: tuple[float, float]
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.columns, self.customers


@contextmanager
def fixtures(folder: Path) -> Iterator[RunningService]:
    with RunningService.open(folder) as running:
        yield running


def keys(fixtures: RunningService) -> list[tuple[str, int]]:
    return [("amount", FEW), ("amount", MANY), ("explained", FEW), ("explained", MANY)]


def trial(fixtures: RunningService, columns: str, customers: int) -> Result:
    """Send a file of so many customers, while others ask for single vouchers."""
    sent, answer = (fixtures.service.folder / name for name in ("customers.csv", "answers.csv"))
    write(sent, customers)
    url = f"http://127.0.0.1:{fixtures.service.port}/vouchers"
    query = "?explain=true" if columns == "explained" else ""
    command = ["curl", "--silent", "--show-error", "--upload-file", str(sent), "--request", "POST", f"{url}{query}"]
    command += [
        "--header",
        "Content-Type: text/csv",
        "--output",
        str(answer),
        "--write-out",
        "%{http_code} %{time_total}",
    ]
    with fixtures.load(rate=100) as load:
        before = load.during(3)
        with Peak(fixtures.workers()) as peak:
            curl = subprocess.run(command, capture_output=True, text=True, check=True)
        meanwhile = load.report()
    status, seconds = curl.stdout.split()
    told, faults = compare(answer, customers, url)
    faults += [f"status {status}"] * (status != "200") + before.faults + meanwhile.faults
    p99 = tuple(round(1000 * each.percentile(0.99), 1) for each in (before, meanwhile))
    size = answer.stat().st_size / 2**20
    return Result(columns, customers, float(seconds), size, peak.mib, told, (p99[0], p99[1]), tuple(faults[:9]))


def customer(number: int) -> dict[str, object]:
    """Return a valid customer."""
    kind = ("frequent_segment", "recency_segment")[number % 2]
    day = f"2018-{number % 6 + 1:02}-{number % 28 + 1:02} 10:30:00"
    return dict(
        zip(COLUMNS, (_email(number), ("Peru", "Latvia", "São Tomé")[number % 3], kind, number % 90, day), strict=True)
    )


def _email(number: int) -> str:
    return f"customer.{number}@shop.example"


def _is_bad(number: int) -> bool:
    return number % EVERY == EVERY // 2


def write(path: Path, customers: int) -> None:
    """Write a file of customers, of whom one in a thousand is bad."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{','.join(COLUMNS)}\n")
        for number in range(customers):
            line = ",".join(map(str, customer(number).values()))
            file.write(f"{BAD[number // EVERY % len(BAD)].format(_email(number)) if _is_bad(number) else line}\n")


def compare(path: Path, customers: int, url: str) -> tuple[int, list[str]]:
    """Return the number of problems told, and the faults of an answer."""
    told, faults, sample = 0, [], {}
    number = -1
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            told += row["problem"] != ""
            if _is_bad(number) != (row["problem"] != "") or _is_bad(number) != (row["voucher_amount"] == ""):
                faults.append(f"line {number}: {row}")
            if number % SAMPLE == 0 and not _is_bad(number):
                sample[number] = json.loads(row["voucher_amount"])
            if row["email"] != _email(number) and not _is_bad(number):
                faults.append(f"line {number} is that of {row['email']}")
    faults += [f"{number + 1:,} lines of {customers:,}"] * (number + 1 != customers)
    asked = requests.post(url, json=[customer(each) for each in sample], timeout=60).json()
    wanted = {each: found["voucher_amount"] for each, found in zip(sample, asked, strict=True)}
    faults += [
        f"customer {each}: {sample[each]}, not {wanted[each]}" for each in sample if sample[each] != wanted[each]
    ]
    return told, faults


class Peak:
    """The most memory (PSS) that one of these processes has in a `with` block, in MiB."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self.mib = 0.0
        self._processes = processes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.mib = max(self.mib, *(each.memory_full_info().pss / 2**20 for each in self._processes))

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def table(results: Sequence[Result]) -> str:
    lines = [
        (each.columns, each.customers, each.seconds, each.mib, each.peak, each.told, *each.p99)
        for each in sorted(results, key=lambda each: each.key)
    ]
    names = (
        "columns",
        "customers",
        "s",
        "answer, MiB",
        "worker's peak, MiB",
        "bad lines told",
        "p99 before, ms",
        "p99, ms",
    )
    return tabulate(lines, names, intfmt=",", floatfmt=".1f")


def short(results: Sequence[Result]) -> list[str]:
    """Return where memory grows with the file, or a bad line is not told."""
    lacks = [f"{each.key}: {each.told} bad lines told" for each in results if each.told != each.customers // EVERY]
    peaks = {each.key: each.peak for each in results}
    for columns in dict.fromkeys(each.columns for each in results):
        growth = peaks.get((columns, MANY), 0.0) - peaks.get((columns, FEW), 0.0)
        if growth > GROWTH:
            lacks.append(f"{columns}: {MANY:,} customers take {growth:.1f} MiB more than {FEW:,}")
    return lacks
