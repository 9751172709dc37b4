"""Clients that four generators make from the OpenAPI document: no warning, every operation called, answers as sent.

The service needs a key and is behind a proxy that strips a prefix; the document is fetched through it. The programs
that call are in tests/clients/. The generators come from PyPI and npm, in the versions pinned there.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from tabulate import tabulate

from proofs.document import generators, plain_http
from proofs.document.prefix_proxy import under_prefix
from proofs.publishing.running_stack import RunningStack

KEY = "the-key-of-the-proof"
PYTHON, NODE = ("openapi-python-client", "openapi-generator"), ("orval", "openapi-typescript")


@dataclass(frozen=True)
class Result:
    """calls: their number; each is compared with the same call over plain HTTP."""

    generator: str
    calls: int
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str]:
        return (self.generator,)


@dataclass(frozen=True)
class Fixtures:
    """address: of the service itself; public: through the proxy; folder: for what is installed and generated."""

    address: str
    public: str
    run: str
    folder: Path


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with RunningStack.open(folder) as stack:
        stack.serve(VOUCHER_API_KEYS=KEY)
        with under_prefix(stack.address) as public:
            yield Fixtures(stack.address, public, stack.current(), folder)


def keys(fixtures: Fixtures) -> list[tuple[str]]:
    return [(generator,) for generator in (*PYTHON, *NODE)]


def trial(fixtures: Fixtures, generator: str) -> Result:
    """Install the generator, generate a client and let it call. Raise ToolMissingError if that is not possible here."""
    given = plain_http.given(fixtures.public, fixtures.run, KEY)
    folder = fixtures.folder / "generated" / generator
    folder.mkdir(parents=True)
    (folder / "input.json").write_text(json.dumps(given))
    said, called = (generators.run_python if generator in PYTHON else generators.run_node)(
        generator, folder, f"{fixtures.public}/openapi.json"
    )
    faults = [f"generating: {line}" for line in said.splitlines() if re.search(r"warn|error|⚠", line, re.I)]
    if called.returncode:
        return Result(generator, 0, (*faults, f"calling: {called.stdout[-500:]}{called.stderr[-1500:]}"))
    found, expected = json.loads(called.stdout), plain_http.expected(fixtures.address, given)
    faults += [f"{name}: not called" for name in expected.keys() - found.keys()]
    faults += [
        f"{name}: {plain_http.normalize(found[name])!r:.500} and not {plain_http.normalize(value)!r:.500}"
        for name, value in expected.items()
        if name in found and plain_http.normalize(found[name]) != plain_http.normalize(value)
    ]
    paths = requests.get(f"{fixtures.address}/openapi.json", timeout=10).json()["paths"].values()
    ids = {operation["operationId"] for path in paths for operation in path.values()}
    faults += [f"{each}: never called" for each in ids - {name.split(" ")[0] for name in found}]
    return Result(generator, len(found), tuple(faults))


def table(results: Sequence[Result]) -> str:
    lines = [(each.generator, each.calls, len(each.faults)) for each in results]
    return tabulate(lines, ("generator", "calls, each as plain HTTP", "faults"))


def short(results: Sequence[Result]) -> list[str]:
    return [f"{each} has no trial" for each in {*PYTHON, *NODE} - {result.generator for result in results}]
