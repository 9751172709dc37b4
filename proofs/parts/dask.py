"""A history loaded by a Dask cluster gives the same tables as one process, even if a worker is killed meanwhile.

The scheduler and two workers are separate processes. The scheduler has neither the database's address nor the S3 keys.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import distributed
import psutil
import pyarrow.parquet as pq
from tabulate import tabulate

from dev.ports import free_port
from dev.processes import Processes
from proofs.parts.contents import differing, held
from proofs.parts.servers import Servers
from proofs.support.environment import ROOT
from sample.parts import write_parts

ONE, DASK, KILLED = WAYS = ("one process", "Dask", "Dask, a worker killed")
ROWS, PARTS = 20_000_000, 40
REAL, SYNTHETIC = "real", "synthetic"


@dataclass(frozen=True)
class History:
    """A history in S3."""

    source: str
    parts: int
    rows: int


@dataclass(frozen=True)
class Fixtures:
    servers: Servers
    histories: Mapping[str, Callable[[], History]]  # stored at the first call


@dataclass(frozen=True)
class Result:
    """killed_at: the number of loaded parts when a worker was killed; tables: the digest of each."""

    history: str
    way: str
    parts: int
    rows: int
    seconds: float
    killed_at: int | None
    tables: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.history, self.way


@contextmanager
def fixtures(folder: Path) -> Iterator[Fixtures]:
    with Servers.open(folder) as servers:
        found = {SYNTHETIC: cache(lambda: stored(servers, SYNTHETIC, write_parts(folder / "synthetic", ROWS, PARTS)))}
        if data := os.environ.get("VOUCHER_REAL_DATA"):
            real = ROOT / data / "data.parquet.gzip"
            found = {REAL: cache(lambda: stored(servers, REAL, _split(real, folder / "real", PARTS)))} | found
        else:
            print("The real history is left out: VOUCHER_REAL_DATA is not set, the folder of its data.parquet.gzip.")
        yield Fixtures(servers, found)


def stored(servers: Servers, name: str, paths: Sequence[Path]) -> History:
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    return History(servers.store(name, paths), len(paths), rows)


def _split(path: Path, folder: Path, parts: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    whole = pq.read_table(path)
    paths = [folder / f"part-{number:05}.parquet" for number in range(parts)]
    bounds = [number * whole.num_rows // parts for number in range(parts + 1)]
    for part, start, end in zip(paths, bounds, bounds[1:], strict=False):
        pq.write_table(whole.slice(start, end - start), part)
    return paths


def keys(fixtures: Fixtures) -> list[tuple[str, str]]:
    return [(history, way) for history in fixtures.histories for way in WAYS]


def trial(fixtures: Fixtures, history: str, way: str) -> Result:
    """Run the pipeline in its own database."""
    servers, found = fixtures.servers, fixtures.histories[history]()
    killed: list[int] = []

    def strike(process: Any) -> None:
        with servers.held_up(database, found.parts // 3, process) as (parts, port):
            cluster.worker(port).kill()
            killed.append(parts)

    with servers.database() as database:
        if way == ONE:
            ended = servers.pipeline(database, found.source)
        else:
            with Cluster.open(servers.folder, servers.environ(database)) as cluster:
                meanwhile = strike if way == KILLED else None
                ended = servers.pipeline(database, found.source, meanwhile=meanwhile, VOUCHER_DASK=cluster.address)
        faults = ended.faults(0, f"load: {found.rows:,} rows in")
        return Result(
            *(history, way, found.parts, found.rows, ended.seconds, killed[0] if killed else None),
            tables=tuple(held(database).items()),
            faults=tuple(faults),
        )


@dataclass(frozen=True)
class Cluster:
    """A scheduler, and workers that their nannies restart."""

    processes: Processes
    address: str
    workers: Sequence[str]

    @classmethod
    @contextmanager
    def open(cls, folder: Path, environ: Mapping[str, str], workers: int = 2) -> Iterator["Cluster"]:
        """Start the cluster. `environ` is only for the workers."""
        port, names = free_port(), [f"worker-{number}" for number in range(workers)]
        cluster = cls(Processes(folder), f"tcp://127.0.0.1:{port}", names)
        bare = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
        bare["DASK_TEMPORARY_DIRECTORY"] = str(folder)
        try:
            cluster._start("scheduler", bare, f"--port={port}")
            for name in names:
                cluster._start(name, {**bare, **environ}, cluster.address, "--nthreads=1", "--nworkers=1")
            with distributed.Client(cluster.address, timeout=30, set_as_default=False) as client:
                if workers:
                    client.wait_for_workers(workers, timeout=30)
            yield cluster
        finally:
            for name in names:
                cluster.processes.stop(name)
            cluster.processes.stop("scheduler", first=signal.SIGKILL)  # it has nothing to clean up

    def _start(self, name: str, environ: Mapping[str, str], *options: str) -> None:
        command = [sys.executable, "-m", "dask", name.partition("-")[0], *options, "--host=127.0.0.1", "--no-dashboard"]
        self.processes.start(name, command, environ)

    def worker(self, port: int) -> psutil.Process:
        """Return the worker whose connection has this local port."""
        records = [self.processes.record(name) for name in self.workers]
        there = [process for record in records if record for process in record.members()]
        (found,) = [each for each in there if any(end.laddr[1:] == (port,) for end in each.net_connections("tcp"))]
        return found


def table(results: Sequence[Result]) -> str:
    different = {fault.partition(":")[0] for fault in unlike(results)}
    lines = [
        (
            *(each.history, each.way, each.parts, each.rows, each.seconds),
            "-" if each.way == ONE else "no" if _name(each) in different else "yes",
            "-" if each.killed_at is None else f"{each.killed_at} of {each.parts}",
        )
        for each in results
    ]
    headers = ("history", "how", "parts", "rows", "seconds", "identical", "worker killed at")
    return tabulate(lines, headers, floatfmt=".1f", intfmt=",")


def unlike(results: Sequence[Result]) -> list[str]:
    """Return a fault for each table that differs from that of one process."""
    wanted = {each.history: dict(each.tables) for each in results if each.way == ONE}
    return [
        f"{_name(each)}: {fault}"
        for each in results
        if each.history in wanted
        for fault in differing(dict(each.tables), wanted[each.history])
    ]


def _name(result: Result) -> str:
    return f"{result.history}, {result.way}"


def short(results: Sequence[Result]) -> list[str]:
    """Return differing tables, and trials in which no worker was killed between the first and the last part."""
    unstruck = [each for each in results if each.way == KILLED and not 0 < (each.killed_at or 0) < each.parts]
    return unlike(results) + [f"{_name(each)}: no worker was killed in mid-run" for each in unstruck]
