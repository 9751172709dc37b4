"""Runs the SQL of rules and segments over parts of the history, in this process, by DuckDB.

Called by `loading` for the pipeline and by `workbench` for the notebooks, so that both count the same; `results` adds
up what was counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import PipelineError, columns, scratch
from pipeline.columns import COLUMNS
from pipeline.rules import RuleBook, lacking
from pipeline.segments import ADDED_UP, SegmentBook

DuckDB = duckdb.DuckDBPyConnection
BATCH_ROWS = 100_000
FEW_OUTCOMES = 100_000  # of batches, not yet added up


class EngineError(PipelineError):
    """A part that can't be read to its end, or lacks a column; or too little memory."""


@dataclass(frozen=True)
class Limits:
    """What a DuckDB may take: memory in MiB, beyond which it spills to the folder of temporary files; threads."""

    memory: int
    threads: int


class Judged:
    """One part of the history, each row judged by the rules and read once, as a stream. Valid inside `judged()`."""

    def __init__(
        self,
        reading: DuckDB,
        counting: DuckDB,
        rules: RuleBook,
        segments: SegmentBook,
        *,
        told: Callable[[int], None],
        countries: set[str],
    ) -> None:
        self.countries = countries  # of all rows that can be read
        self._reading, self._counting, self._told = reading, counting, told
        self._rules, self._segments = rules, segments
        self._tally: pa.Table | None = None
        self.fault: duckdb.Error | None = None  # the reader of the stream may have reported it as its own

    def kept(self, placed: bool = False) -> pa.RecordBatchReader:
        """The kept rows, typed: the six columns, and, when `placed`, the segment of each kind."""
        columns = [*COLUMNS, *(kind.name for kind in self._segments.kinds if placed)]
        kinds = [kind.placed() for kind in self._segments.kinds if placed]
        judged = f"WITH judged AS ({self._rules.sql('part')}) SELECT {', '.join(['*', *kinds])} FROM judged"
        rows = self._reading.sql(judged).to_arrow_reader(BATCH_ROWS)
        schema = pa.schema([rows.schema.field(column) for column in columns])
        return pa.RecordBatchReader.from_batches(schema, self._counted(rows, columns))

    def tally(self) -> pa.Table:
        """How many rows had each outcome (see SegmentBook.tally): a few hundred lines, whatever the part's size, unless
        each amount is another.
        """
        if self._tally is None:
            for _ in self.kept():
                pass
        return self._tally

    def _counted(self, rows: pa.RecordBatchReader, columns: list[str]) -> Iterator[pa.RecordBatch]:
        few = FEW_OUTCOMES
        try:
            self._counting.register("judged", rows.schema.empty_table())
            self._counting.execute(f"CREATE OR REPLACE TEMP TABLE tallies AS {self._segments.tally}")
            outcomes = 0
            for batch in rows:
                self._counting.register("judged", batch)
                outcomes += self._changed(f"INSERT INTO tallies {self._segments.tally}")
                if outcomes > few:
                    outcomes = self._changed(f"CREATE OR REPLACE TEMP TABLE tallies AS {ADDED_UP}")
                    few = 2 * max(FEW_OUTCOMES, outcomes)
                yield batch.select(columns).filter(pc.equal(batch["matched"], 0))
                self._told(len(batch))
            self._tally = self._counting.sql(ADDED_UP).to_arrow_table()
        except duckdb.Error as error:
            self.fault = error
            raise

    def _changed(self, statement: str) -> int:
        """Execute a statement and return how many rows it wrote."""
        [(rows,)] = self._counting.execute(statement).fetchall()
        return int(rows)


@contextmanager
def opened(limits: Limits | None = None, in_order: bool = False) -> Iterator[DuckDB]:
    """A DuckDB that threads may share for as long as the context lasts: opening one takes longer than a small part.

    in_order keeps the rows' order, which costs memory.
    """
    with scratch.folder() as spill, duckdb.connect() as shared:
        shared.execute("SET preserve_insertion_order=?", [in_order])
        shared.execute("SET temp_directory=?", [str(spill)])
        if limits:
            shared.execute("SET memory_limit=?", [f"{limits.memory}MiB"])
            shared.execute("SET threads=?", [limits.threads])
        yield shared


@contextmanager
def judged(
    part: Path | pa.Table,
    rules: RuleBook,
    segments: SegmentBook,
    *,
    within: DuckDB,
    today: date | None = None,
    name: str = "",
    told: Callable[[int], None] = lambda _: None,
) -> Iterator[Judged]:
    """One part, a Parquet file or an Arrow table, with the rules applied by the DuckDB `within`.

    today pins the reference day; name is what errors call the part; told hears of each batch's rows. Raises
    EngineError when a column is missing, or the part can't be read to its end.
    """
    found = None
    name = name or (str(part) if isinstance(part, Path) else "the table")
    with session(within, today) as reading, session(within, today) as counting:
        try:
            raw = part if isinstance(part, pa.Table) else reading.read_parquet(str(part))
            reading.register("raw", raw)
            countries = _read_texts(reading, name, rules)
            found = Judged(reading, counting, rules, segments, told=told, countries=countries)
            yield found
        except (duckdb.Error, PipelineError) as error:
            broken = error if isinstance(error, duckdb.Error) else found.fault if found else None
            if not broken:
                raise
            raise failed(broken, name) from error


def types(raw: duckdb.DuckDBPyRelation) -> dict[str, str]:
    """Return the DuckDB type of each column."""
    return dict(zip(raw.columns, map(str, raw.types), strict=True))


def _read_texts(reading: DuckDB, name: str, rules: RuleBook) -> set[str]:
    """Make the view `part` of the texts of `raw`, and the variables that tell how its countries are read; return these.

    Raises EngineError.
    """
    found = types(reading.table("raw"))
    if fault := lacking(found) or columns.unusable(found):
        raise EngineError(f"{name}: {fault}")
    reading.execute(f"CREATE TEMP VIEW part AS SELECT {columns.texts(found)} FROM raw")
    texts = reading.execute("SELECT DISTINCT country_code FROM part WHERE country_code IS NOT NULL").fetchall()
    names = columns.country_names(text for (text,) in texts)
    for variable, values in columns.country_variables(names, keys=rules.compares_countries).items():
        if values:
            reading.execute(f"SET VARIABLE {variable} = map(?, ?)", [list(values), list(values.values())])
    return set(names.values()) - {"", columns.UNREADABLE}


def failed(error: duckdb.Error, of: str) -> EngineError:
    """What DuckDB said, and the way out."""
    said = str(error).splitlines()[0].rstrip(".")
    if isinstance(error, duckdb.OutOfMemoryException):
        return EngineError(f"{of}: {said}; set VOUCHER_MEMORY_MIB higher, or TMPDIR to a folder on a larger disk")
    return EngineError(f"{of} can't be read: {said}; replace the file")


@contextmanager
def session(within: DuckDB, today: date | None = None) -> Iterator[DuckDB]:
    """A connection of one's own, with views that no other sees."""
    with within.cursor() as session:
        session.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        session.execute("SET VARIABLE today = CAST(? AS DATE)", [today])
        yield session
