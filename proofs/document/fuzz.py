"""Requests that schemathesis makes from the OpenAPI document: no 5xx, answers as described, refusals as problems.

A case is a request unlike all others. The one check left out is `positive_data_acceptance`: a schema can't say "a day
that exists", nor "not in the future".
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tabulate import tabulate

from pipeline.rules.segments import SegmentBook
from proofs.document.schemathesis_run import Verdicts, run_schemathesis
from proofs.publishing.running_stack import RunningStack

CASES, TRIALS, EXAMPLES = 10_000, 10, 200
KEY = "the-key-of-the-proof"
ASKS = ("POST /segmentation-voucher/", "POST /voucher", "POST /vouchers", "POST /vouchers.ndjson")


@dataclass(frozen=True)
class Result:
    """access: "keyed" if the service needs a key, which schemathesis sends, otherwise "open". The other fields are as
    in Verdicts, with the count at the end of each entry.
    """

    access: str
    seed: int
    answered: tuple[tuple[str, int, int], ...]
    told: tuple[tuple[str, str, int], ...]
    checks: tuple[tuple[str, str, str, int], ...]
    cases: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.access, self.seed


@contextmanager
def fixtures(folder: Path) -> Iterator[RunningStack]:
    with RunningStack.open(folder) as stack:
        yield stack


def keys(fixtures: RunningStack) -> list[tuple[str, int]]:
    return [(("open", "keyed")[seed % 2], seed) for seed in range(TRIALS)]


def trial(fixtures: RunningStack, access: str, seed: int, examples: int = EXAMPLES) -> Result:
    """Run schemathesis once."""
    key = KEY if access == "keyed" else ""
    fixtures.serve(**({"VOUCHER_API_KEYS": key} if key else {}))
    paths = requests.get(f"{fixtures.address}/openapi.json", timeout=10).json()["paths"]
    operations = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    return judge(access, seed, operations, run_schemathesis(fixtures.address, operations, seed, examples, key))


def judge(access: str, seed: int, operations: Sequence[str], found: Verdicts) -> Result:
    """Return the result of a run of schemathesis. An operation that never answered 200 is a fault."""
    answered = {operation for operation, status in found.answered if status == 200}
    faults = [*found.faults[:5], *(f"{each} never answered 200" for each in operations if each not in answered)]
    return Result(
        *(access, seed, _rows(found.answered), _rows(found.told), _rows(found.checks)),
        cases=tuple(sorted(found.cases)),
        faults=tuple(faults),
    )


def table(results: Sequence[Result]) -> str:
    answered, told, checks = (_sums(results, name) for name in ("answered", "told", "checks"))
    lines = []
    for operation in sorted({operation for operation, _ in answered}):
        classes = Counter[int]()
        for (_, status), times in _of(operation, answered):
            classes[status // 100] += times
        failed = Counter({name: times for (_, name, outcome), times in _of(operation, checks) if outcome != "success"})
        vouchers = sum(times for _, times in _of(operation, told))
        said = ", ".join(f"{times} {name}" for name, times in failed.items())
        lines.append((operation, classes.total(), *(classes[each] for each in (2, 3, 4, 5)), vouchers, said or "none"))
    lines.append(("all", *(sum(line[place] for line in lines) for place in range(1, 7)), ""))
    made, passed = Counter[str](), Counter[str]()
    for (_, name, outcome), times in checks.items():
        made[name] += times
        passed[name] += times * (outcome == "success")
    return "\n\n".join(
        (
            tabulate(lines, ("operation", "requests", "2xx", "3xx", "4xx", "5xx", "vouchers told", "failed checks")),
            tabulate(
                [(name, made[name], made[name] - passed[name]) for name in sorted(made)], ("check", "made", "failed")
            ),
            f"{len(results)} trials, {_cases(results):,} cases",
        )
    )


def short(results: Sequence[Result], cases: int = CASES) -> list[str]:
    """Return what is missing: cases, vouchers or refusals of an operation, and kinds of segments."""
    return untried(results, ASKS, cases) + [
        f"no customer's {kind.name}"
        for kind in SegmentBook.load().kinds
        if kind.name not in {name for _, name in _sums(results, "told")}
    ]


def untried(results: Sequence[Result], asks: Sequence[str], cases: int) -> list[str]:
    """Return what is missing: cases, and of the operations `asks` vouchers and refusals."""
    lacks = [f"{_cases(results):,} cases, not {cases:,}"] if _cases(results) < cases else []
    told = _sums(results, "told")
    refused = {operation for operation, status in _sums(results, "answered") if 400 <= status < 500}
    lacks += [f"{each} told no voucher" for each in asks if not any(times for _, times in _of(each, told))]
    return lacks + [f"{each} refused nobody" for each in asks if each not in refused]


def _rows(counts: Mapping[tuple[Any, ...], int]) -> tuple[Any, ...]:
    return tuple((*key, times) for key, times in sorted(counts.items()))


def _sums(results: Sequence[Result], name: str) -> Counter[tuple[Any, ...]]:
    """Add up the counts of all trials."""
    counts = Counter[tuple[Any, ...]]()
    for each in results:
        for *key, times in getattr(each, name):
            counts[tuple(key)] += times
    return counts


def _of(operation: str, counts: Mapping[tuple[Any, ...], int]) -> list[tuple[tuple[Any, ...], int]]:
    return [(key, times) for key, times in counts.items() if key[0] == operation]


def _cases(results: Sequence[Result]) -> int:
    return len({case for each in results for case in each.cases})
