"""A history of many parts: each is read once, whatever becomes of the others.

After a part came, was replaced or went, and after a run that was cut off, the answers are those of a run that reads
all; parts that can't be read are named, all of them, and nothing is published; cleaned rows may lie in S3.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tabulate import tabulate

from dev.parts import EDITIONS, edition, write_parts
from tests.proofs.servers import ANSWERS, Ended, Servers, differing, held, query

ROWS, DAYS = 2_000_000, 365
BROKEN_ROWS, BROKEN_PARTS = 200_000, 2_000
CUT_OFF = 40  # parts
CURRENT = "SELECT run_id, published_at, checked_at FROM voucher.current_run"
CLEANED = "timestamp, country_code, first_order_ts, last_order_ts, total_orders, voucher_amount"
ZSTD = b"\x28\xb5\x2f\xfd"  # how a compressed page begins


@dataclass(frozen=True)
class Stage:
    """days: parts of a history, in order; mixed: small parts of all editions in turn."""

    servers: Servers
    days: Sequence[Path]
    mixed: Sequence[Path]


@dataclass(frozen=True)
class Result:
    """first, then: seconds of a run, and of the run after what the trial is about; read: parts that the latter read."""

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


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    with Servers.open(folder) as servers:
        days = write_parts(folder / "days", ROWS, DAYS + 1)
        yield Stage(servers, days, write_parts(folder / "mixed", BROKEN_ROWS, BROKEN_PARTS, mixed=True))


def keys(_: Stage) -> list[tuple[str]]:
    return [(what,) for what in TRIALS]


def few() -> list[tuple[str]]:
    """All but the changes that another makes together."""
    return [(what,) for what in TRIALS if what not in {ADDED, REPLACED, REMOVED}]


def trial(stage: Stage, what: str) -> Result:
    return TRIALS[what](stage, what)


def mixed(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The first hundred rows of each, of all editions in turn."""
    made = [folder / path.name for path in paths]
    for place, (path, to) in enumerate(zip(paths, made, strict=True)):
        few = pq.read_table(path).slice(0, 100)
        pq.write_table(edition(few, list(EDITIONS)[place % len(EDITIONS)]), to, compression="zstd")
    return made


@dataclass
class _Trial:
    """What came of its runs, the first and the next; a run is held against one that reads all."""

    stage: Stage
    what: str

    def __post_init__(self) -> None:
        self.faults: list[str] = []
        self.folder = self.what.replace(" ", "-").replace(",", "")

    def run(self, database: str, source: str, *saying: str, exitcode: int = 0, **more: Any) -> Ended:
        ended = self.stage.servers.pipeline(database, source, **more)
        self.faults += ended.faults(exitcode, *saying)
        return ended

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.faults.append(f"{what}: {str(found)[:500]}, not {str(wanted)[:500]}")

    def as_anew(self, database: str, source: str) -> None:
        """The answers have to be those of a run that reads all parts."""
        with self.stage.servers.database() as other:
            self.run(other, source)
            self.faults += differing(held(database, ANSWERS), held(other, ANSWERS))

    def result(self, paths: Sequence[Path], first: Ended, then: Ended) -> Result:
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        read = len(set(then.reads))
        return Result(self.what, len(paths), rows, first.seconds, then.seconds, read, tuple(self.faults))


def _changed(stage: Stage, what: str) -> Result:
    """A day's run, and the next day's."""
    this, servers, days = _Trial(stage, what), stage.servers, stage.days[:-1]
    new = []
    with servers.database() as database:
        source = servers.store(this.folder, days)
        first = this.run(database, source)
        if what in {ADDED, CHANGED}:
            new.append(f"{this.folder}/{stage.days[-1].name}")
        if what in {REPLACED, CHANGED}:
            new.append(f"{this.folder}/{days[1].name}")
        for key in new:
            servers.put(key, stage.days[-1] if key.endswith(stage.days[-1].name) else _reversed(days[1]))
        if what in {REMOVED, CHANGED}:
            servers.remove(f"{this.folder}/{days[2].name}")
        left = len(days) - (what in {REPLACED, CHANGED}) - (what in {REMOVED, CHANGED})
        then = this.run(database, source, f"load: {left:,} parts were read before")
        this.expect("objects read", Counter(then.reads), Counter(new * 2))  # when it is planned, and loaded
        loaded = query(
            database, "SELECT count(*) FROM voucher.loaded_part JOIN voucher.current_run ON loaded_by = run_id"
        )
        this.expect("parts loaded", loaded, [(len(new),)])
        this.as_anew(database, source)
    return this.result(days, first, then)


def _reversed(path: Path) -> bytes:
    """Half the rows of a part, in the opposite order: other bytes, and other answers."""
    rows = pq.read_table(path)
    return _parquet(rows.take(list(range(rows.num_rows - 1, rows.num_rows // 2, -1))))


def _parquet(table: Any) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _broken(stage: Stage, what: str) -> Result:
    """Three parts that no run can plan with, then one that a run finds broken when it loads it."""
    this, servers, mixed = _Trial(stage, what), stage.servers, stage.mixed
    cut, page, column, damaged = (mixed[len(mixed) * place // 5] for place in range(1, 5))
    spoilt = {
        cut: cut.read_bytes()[: cut.stat().st_size // 2],
        page: b"<html><body><h1>503 Service Unavailable</h1></body></html>",
        column: _parquet(pq.read_table(column).drop_columns(["total_orders"])),
    }
    with servers.database() as database:
        this.run(database, servers.store(f"{this.folder}-before", stage.days[:1]))
        published = query(database, CURRENT)
        source = servers.store(this.folder, mixed)
        for path, content in spoilt.items():
            servers.put(f"{this.folder}/{path.name}", content)
        named = (
            f"error: 3 of {len(mixed):,} parts can't be used:",
            *(f"{source}{cut.name} is an incomplete Parquet file", f"{source}{page.name} is not a Parquet file"),
            f"{source}{column.name}: column total_orders is missing",
        )
        first = this.run(database, source, *named, exitcode=1)
        this.expect("published", query(database, CURRENT), published)

        servers.store(this.folder, spoilt)
        servers.put(f"{this.folder}/{damaged.name}", damaged.read_bytes().replace(ZSTD, bytes(4)))
        this.run(database, source, f"error: {source}{damaged.name} can't be read", exitcode=1)
        this.expect("published", query(database, CURRENT), published)
        this.expect("loaded", query(database, "SELECT count(*) FROM voucher.loaded_part"), [(len(mixed),)])

        servers.store(this.folder, [damaged])
        then = this.run(database, source)
        this.expect("objects read", set(then.reads), {f"{this.folder}/{damaged.name}"})
        this.as_anew(database, source)
    return this.result(mixed, first, then)


def _rows_in_s3(stage: Stage, what: str) -> Result:
    """The same answers and the same rows as in Postgres; files go with the last run that needs them."""
    this, servers, days = _Trial(stage, what), stage.servers, stage.days
    half = len(days) // 2
    prefix, strangers = (
        f"{this.folder}-cleaned/",
        ("notes.txt", "other/1.parquet", "loaded_by=ffffffffffffffff/1.parquet"),
    )
    for name in strangers:
        servers.put(prefix + name, b"another's")
    settings = {"VOUCHER_ROWS": f"s3://{servers.bucket}/{prefix}", "VOUCHER_KEEP_RUNS": "1"}

    def files() -> dict[str, str]:
        """The run that wrote each."""
        found = query(database, "SELECT rows_uri, loaded_by FROM voucher.loaded_part")
        return {uri.removeprefix(f"s3://{servers.bucket}/"): run for uri, run in found}

    def expect_files(parts: int, runs: int) -> None:
        this.expect("files, and the runs that wrote them", (len(files()), len(set(files().values()))), (parts, runs))
        this.expect("objects", servers.keys(prefix) - {prefix + name for name in strangers}, set(files()))
        this.expect(
            "others' objects", sorted(servers.keys(prefix) - set(files())), sorted(prefix + n for n in strangers)
        )

    with servers.database() as database, servers.database() as other:
        source = servers.store(this.folder, days[:half])
        first = this.run(database, source, **settings)
        expect_files(half, 1)
        this.run(other, source)
        this.faults += differing(held(database, ANSWERS), held(other, ANSWERS), without=["assignment"])
        this.expect("rows in Postgres", query(database, "SELECT count(*) FROM voucher.assignment"), [(0,)])
        rows = Counter(query(other, f"SELECT {CLEANED} FROM voucher.assignment"))
        this.expect("rows", Counter(_rows(servers, files())) == rows, True)

        servers.store(this.folder, days[half : half + 1])
        servers.remove(f"{this.folder}/{days[0].name}")
        then = this.run(database, source, f"load: {half - 1:,} parts were read before", **settings)
        expect_files(half + 1, 2)
        for path in days[1 : half + 1]:
            servers.remove(f"{this.folder}/{path.name}")
        servers.store(this.folder, days[half + 1 :])
        this.run(database, source, **settings)
        expect_files(len(days) - half - 1, 1)
    return this.result(days[:half], first, then)


def _rows(servers: Servers, keys: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    client = servers.s3.client()
    for key in keys:
        body = client.get_object(Bucket=servers.bucket, Key=key)["Body"].read()
        columns = CLEANED.split(", ")
        yield from zip(*(pq.read_table(BytesIO(body))[column].to_pylist() for column in columns), strict=True)


def _cut_off(stage: Stage, what: str) -> Result:
    """Killed when some parts are loaded, with the rows of another written; the next run reads only what is left."""
    this, servers, days = _Trial(stage, what), stage.servers, stage.days[:CUT_OFF]
    loaded: list[tuple[str]] = []

    def kill(process: Any) -> None:
        with servers.held_up(database, len(days) // 3, process):
            loaded.extend(query(database, "SELECT uri FROM voucher.loaded_part JOIN voucher.part USING (part_id)"))
            process.kill()
            process.join()

    with servers.database() as database, servers.database() as other:
        source = servers.store(this.folder, days)
        first = this.run(database, source, exitcode=-9, meanwhile=kill)
        then = this.run(database, source, f"load: {len(loaded):,} parts were read before")
        left = {f"{this.folder}/{path.name}" for path in days}
        left -= {uri.removeprefix(f"s3://{servers.bucket}/") for (uri,) in loaded}
        this.expect("objects read", Counter(then.reads), Counter(left))
        this.run(other, source)
        this.faults += differing(held(database), held(other))
    return this.result(days, first, then)


ADDED, REPLACED, REMOVED = "a part added", "a part replaced", "a part removed"
CHANGED = "added, replaced, removed"
TRIALS: Mapping[str, Callable[[Stage, str], Result]] = {
    **dict.fromkeys((ADDED, REPLACED, REMOVED, CHANGED), _changed),
    "broken parts": _broken,
    "rows in S3": _rows_in_s3,
    "cut off": _cut_off,
}


def table(results: Sequence[Result]) -> str:
    headers = ("", "parts", "rows", "seconds", "of the next run", "parts it read")
    lines = [(each.what, each.parts, each.rows, each.first, each.then, each.read) for each in results]
    return tabulate(lines, headers, floatfmt=".1f", intfmt=",")


def short(_: Sequence[Result]) -> list[str]:
    return []
