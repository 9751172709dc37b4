"""The trials of the proof `parts`: what happens to a history of many parts."""

from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from proofs.parts.contents import ANSWERS, differing, held, query
from proofs.parts.servers import Servers
from proofs.parts.trial import Fixtures, Result, Trial

CUT_OFF = 40  # parts
CURRENT = "SELECT run_id, published_at, checked_at FROM voucher.current_run"
CLEANED = "timestamp, country_code, first_order_ts, last_order_ts, total_orders, voucher_amount"
ZSTD = b"\x28\xb5\x2f\xfd"  # the start of a compressed page
ADDED, REPLACED, REMOVED = "a part added", "a part replaced", "a part removed"
CHANGED = "added, replaced, removed"


def changed(fixtures: Fixtures, what: str) -> Result:
    """Run the pipeline, change parts, and run it again."""
    this, servers, days = Trial(fixtures, what), fixtures.servers, fixtures.days[:-1]
    new = []
    with servers.database() as database:
        source = servers.store(this.folder, days)
        first = this.run(database, source)
        if what in {ADDED, CHANGED}:
            new.append(f"{this.folder}/{fixtures.days[-1].name}")
        if what in {REPLACED, CHANGED}:
            new.append(f"{this.folder}/{days[1].name}")
        for key in new:
            servers.put(key, fixtures.days[-1] if key.endswith(fixtures.days[-1].name) else _reversed(days[1]))
        if what in {REMOVED, CHANGED}:
            servers.remove(f"{this.folder}/{days[2].name}")
        left = len(days) - (what in {REPLACED, CHANGED}) - (what in {REMOVED, CHANGED})
        then = this.run(database, source, f"load: {left:,} parts were read before")
        this.expect("objects read", Counter(then.reads), Counter(new * 2))  # once by plan, once by load
        loaded = query(
            database, "SELECT count(*) FROM voucher.loaded_part JOIN voucher.current_run ON loaded_by = run_id"
        )
        this.expect("parts loaded", loaded, [(len(new),)])
        this.as_anew(database, source)
    return this.result(days, first, then)


def _reversed(path: Path) -> bytes:
    """Return half the rows of a part in reverse order: other bytes, and other answers."""
    rows = pq.read_table(path)
    return _parquet(rows.take(list(range(rows.num_rows - 1, rows.num_rows // 2, -1))))


def _parquet(table: Any) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def broken(fixtures: Fixtures, what: str) -> Result:
    """Run with three unusable parts, which `plan` finds, then with a damaged one, which `load` finds."""
    this, servers, mixed = Trial(fixtures, what), fixtures.servers, fixtures.mixed
    cut, page, column, damaged = (mixed[len(mixed) * place // 5] for place in range(1, 5))
    spoilt = {
        cut: cut.read_bytes()[: cut.stat().st_size // 2],
        page: b"<html><body><h1>503 Service Unavailable</h1></body></html>",
        column: _parquet(pq.read_table(column).drop_columns(["total_orders"])),
    }
    with servers.database() as database:
        this.run(database, servers.store(f"{this.folder}-before", fixtures.days[:1]))
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


def rows_in_s3(fixtures: Fixtures, what: str) -> Result:
    """Write cleaned rows to S3: answers and rows are those of Postgres, and files are deleted with their last run."""
    this, servers, days = Trial(fixtures, what), fixtures.servers, fixtures.days
    half = len(days) // 2
    prefix, strangers = (
        f"{this.folder}-cleaned/",
        ("notes.txt", "other/1.parquet", "loaded_by=ffffffffffffffff/1.parquet"),
    )
    for name in strangers:
        servers.put(prefix + name, b"another's")
    settings = {"VOUCHER_ROWS": f"s3://{servers.bucket}/{prefix}", "VOUCHER_KEEP_RUNS": "1"}

    def files() -> dict[str, str]:
        """Return the run that wrote each file."""
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
        first = this.run(database, source, settings=settings)
        expect_files(half, 1)
        this.run(other, source)
        this.faults += differing(held(database, ANSWERS), held(other, ANSWERS), without=["assignment"])
        this.expect("rows in Postgres", query(database, "SELECT count(*) FROM voucher.assignment"), [(0,)])
        rows = Counter(query(other, f"SELECT {CLEANED} FROM voucher.assignment"))
        this.expect("rows", Counter(_rows(servers, files())) == rows, True)

        servers.store(this.folder, days[half : half + 1])
        servers.remove(f"{this.folder}/{days[0].name}")
        then = this.run(database, source, f"load: {half - 1:,} parts were read before", settings=settings)
        expect_files(half + 1, 2)
        for path in days[1 : half + 1]:
            servers.remove(f"{this.folder}/{path.name}")
        servers.store(this.folder, days[half + 1 :])
        this.run(database, source, settings=settings)
        expect_files(len(days) - half - 1, 1)
    return this.result(days[:half], first, then)


def _rows(servers: Servers, keys: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    client = servers.s3.client()
    for key in keys:
        body = client.get_object(Bucket=servers.bucket, Key=key)["Body"].read()
        columns = CLEANED.split(", ")
        yield from zip(*(pq.read_table(BytesIO(body))[column].to_pylist() for column in columns), strict=True)


def cut_off(fixtures: Fixtures, what: str) -> Result:
    """Kill a run while it writes a part; the next run reads only the parts that are not loaded."""
    this, servers, days = Trial(fixtures, what), fixtures.servers, fixtures.days[:CUT_OFF]
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
