"""A trial of the proof `parts`: its runs, what went wrong in them, and its result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow.parquet as pq

from proofs.parts.contents import ANSWERS, differing, held
from proofs.parts.servers import Ended, Servers


@dataclass(frozen=True)
class Fixtures:
    """days: the parts of a history, in order; mixed: small parts of all editions in turn."""

    servers: Servers
    days: Sequence[Path]
    mixed: Sequence[Path]


@dataclass(frozen=True)
class Result:
    """first, then: seconds of the first run, and of the run after the change; read: parts that the latter read."""

    what: str
    parts: int
    rows: int
    first: float
    then: float
    read: int
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str]:
        return (self.what,)


@dataclass
class Trial:
    """Collects the faults of a trial's runs."""

    fixtures: Fixtures
    what: str

    def __post_init__(self) -> None:
        self.faults: list[str] = []
        self.folder = self.what.replace(" ", "-").replace(",", "")

    def run(
        self,
        database: str,
        source: str,
        *saying: str,
        exitcode: int = 0,
        meanwhile: Callable[[Any], None] | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Ended:
        ended = self.fixtures.servers.pipeline(database, source, meanwhile=meanwhile, **settings)
        self.faults += ended.faults(exitcode, *saying)
        return ended

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.faults.append(f"{what}: {str(found)[:500]}, not {str(wanted)[:500]}")

    def as_anew(self, database: str, source: str) -> None:
        """Compare the answers with those of a run that reads all parts."""
        with self.fixtures.servers.database() as other:
            self.run(other, source)
            self.faults += differing(held(database, ANSWERS), held(other, ANSWERS))

    def result(self, paths: Sequence[Path], first: Ended, then: Ended) -> Result:
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        read = len(set(then.reads))
        return Result(self.what, len(paths), rows, first.seconds, then.seconds, read, tuple(self.faults))
