"""Odd and malformed requests, sent to the running service: what each is answered.

They are listed in odd_requests.py.
"""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from proofs.service.odd_requests import ODD
from proofs.service.running_service import RunningService

LONGEST = 90  # characters of an answer that are shown


@dataclass(frozen=True)
class Result:
    what: str
    status: int
    answer: str
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str]:
        return (self.what,)


@contextmanager
def fixtures(folder: Path) -> Iterator[RunningService]:
    with RunningService.open(folder) as running:
        yield running


def keys(fixtures: RunningService) -> list[tuple[str]]:
    return [(odd.what,) for odd in ODD]


def trial(fixtures: RunningService, what: str) -> Result:
    odd = next(odd for odd in ODD if odd.what == what)
    with closing(http.client.HTTPConnection("127.0.0.1", fixtures.service.port, timeout=30)) as connection:
        connection.request("POST", "/voucher", odd.body, odd.headers)
        response = connection.getresponse()
        body, media_type = response.read(), response.headers["Content-Type"]
    faults = [f"{response.status}, not {odd.status}"] * (response.status != odd.status)
    faults += ["markup is not escaped"] * (b"<" in body)
    faults += [media_type] * (response.status != 200 and media_type != "application/problem+json")
    answer = body.decode() if response.status == 200 else json.loads(body)["detail"]
    return Result(what, response.status, answer.strip(), tuple(faults))


def table(results: Sequence[Result]) -> str:
    lines = [(each.what, each.status, ascii(each.answer)[1:-1][:LONGEST]) for each in results]
    return tabulate(lines, ("request", "status", "answer"), disable_numparse=True)


def short(results: Sequence[Result]) -> list[str]:
    return [] if len(results) >= 60 else [f"only {len(results)} requests"]
