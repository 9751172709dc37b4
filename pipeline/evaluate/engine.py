"""Run the SQL of rules and segments over parts of the history, in this process, in DuckDB.

`load` calls it for the pipeline and `workbench` for the notebooks, so that both count the same. `totals` aggregates
the counts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import PipelineError
from pipeline.rules import columns
from pipeline.rules.columns import COLUMNS, OPTIONAL
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.rules.sql.tallies import NO_OUTCOMES, added_up
from pipeline.source import tempfolder

DuckDB = duckdb.DuckDBPyConnection
BATCH_ROWS = 100_000
COUNTED_AT_ONCE = 6  # batches: each alone would have nearly as many outcomes, one for each day, amount and segment
FEW_OUTCOMES = 100_000  # of batches, not yet added up


class EngineError(PipelineError):
    """A part can't be read to its end or lacks a column, or memory is too small."""


@dataclass(frozen=True)
class Limits:
    """Limits of a DuckDB: memory in MiB, beyond which it spills to the temporary folder, and threads."""

    memory: int
    threads: int


class EvaluatedPart:
    """One part of the history with the rules applied, read once, as a stream. Valid inside `evaluate()`."""

    def __init__(
        self,
        reading: DuckDB,
        counting: DuckDB,
        rules: RuleBook,
        segments: SegmentBook,
        *,
        on_rows: Callable[[int], None],
        countries: set[str],
        outcomes: bool,
    ) -> None:
        self.countries = countries  # of all rows that can be read
        self._outcomes = outcomes  # whether the part has the column `redeemed`
        self._reading, self._counting, self._told = reading, counting, on_rows
        self._rules, self._segments = rules, segments
        self._tally: pa.Table | None = None
        self.fault: duckdb.Error | None = None  # the reader of the stream may have reported it as its own

    def kept(self, placed: bool = False) -> pa.RecordBatchReader:
        """Return the kept rows, typed: the six columns and, if `placed`, the segment of each kind."""
        columns = [*COLUMNS, *(kind.name for kind in self._segments.kinds if placed)]
        kinds = [kind.placed() for kind in self._segments.kinds if placed]
        needed = [*COLUMNS, *(OPTIONAL if self._outcomes else ()), "matched", "unreadable_row", *kinds]
        judged = f"WITH judged AS ({self._rules.sql('part')}) SELECT {', '.join(needed)} FROM judged"
        rows = self._reading.sql(judged).to_arrow_reader(BATCH_ROWS)
        schema = pa.schema([rows.schema.field(column) for column in columns])
        return pa.RecordBatchReader.from_batches(schema, self._counted(rows, columns))

    def tally(self) -> pa.Table:
        """Return how many rows had each outcome (see SegmentBook.tally): a few hundred lines for each day of a part."""
        if self._tally is None:
            for _ in self.kept():
                pass
        return self._tally

    def _counted(self, rows: pa.RecordBatchReader, columns: list[str]) -> Iterator[pa.RecordBatch]:
        few, tally, added = FEW_OUTCOMES, self._segments.tally(self._outcomes), added_up(self._outcomes)
        try:
            self._counting.register("judged", rows.schema.empty_table())
            self._counting.execute(f"CREATE OR REPLACE TEMP TABLE tallies AS {tally}")
            outcomes, times, waiting = 0, 0, list[pa.RecordBatch]()
            for batch in chain(rows, [None]):
                if waiting and (batch is None or len(waiting) == COUNTED_AT_ONCE):
                    self._counting.register("judged", pa.Table.from_batches(waiting))
                    outcomes += self._changed(f"INSERT INTO tallies {tally}")
                    times, waiting = times + 1, []
                if outcomes > few:
                    outcomes = self._changed(f"CREATE OR REPLACE TEMP TABLE tallies AS {added}")
                    few = 2 * max(FEW_OUTCOMES, outcomes)
                if batch is not None:
                    waiting.append(batch)
                    yield batch.select(columns).filter(pc.equal(batch["matched"], 0))
                    self._told(len(batch))
            whole = f"({added})" if times > 1 else "tallies"
            self._tally = self._counting.sql(f"FROM {whole} ORDER BY ALL").to_arrow_table()
            for field in () if self._outcomes else self._counting.sql(f"SELECT {NO_OUTCOMES}").to_arrow_table().schema:
                self._tally = self._tally.append_column(field, pa.nulls(self._tally.num_rows, field.type))
        except duckdb.Error as error:
            self.fault = error
            raise

    def _changed(self, statement: str) -> int:
        """Execute a statement and return how many rows it wrote."""
        [(rows,)] = self._counting.execute(statement).fetchall()
        return int(rows)


@contextmanager
def open_duckdb(limits: Limits | None = None, in_order: bool = False) -> Iterator[DuckDB]:
    """Open a DuckDB that threads may share: opening one takes longer than reading a small part.

    in_order keeps the order of the rows, which costs memory.
    """
    with tempfolder.create() as spill, duckdb.connect() as shared:
        shared.execute("SET preserve_insertion_order=?", [in_order])
        shared.execute("SET temp_directory=?", [str(spill)])
        if limits:
            shared.execute("SET memory_limit=?", [f"{limits.memory}MiB"])
            shared.execute("SET threads=?", [limits.threads])
        yield shared


@contextmanager
def evaluate(
    part: Path | pa.Table,
    rules: RuleBook,
    segments: SegmentBook,
    *,
    within: DuckDB,
    today: date | None = None,
    name: str = "",
    on_rows: Callable[[int], None] = lambda _: None,
) -> Iterator[EvaluatedPart]:
    """Apply the rules to one part, a Parquet file or an Arrow table, in the DuckDB `within`.

    today pins the reference day; name is what errors call the part; on_rows is called with each batch's number of rows.
    Raises EngineError if a column is missing or the part can't be read to its end.
    """
    found = None
    name = name or (str(part) if isinstance(part, Path) else "the table")
    with session(within, today) as reading, session(within, today) as counting:
        try:
            countries = read_texts(reading, part, name, rules)
            outcomes = "redeemed" in reading.table("raw").columns
            found = EvaluatedPart(
                reading, counting, rules, segments, on_rows=on_rows, countries=countries, outcomes=outcomes
            )
            yield found
        except (duckdb.Error, PipelineError) as error:
            broken = error if isinstance(error, duckdb.Error) else found.fault if found else None
            if not broken:
                raise
            raise failed(broken, name) from error


def types(raw: duckdb.DuckDBPyRelation) -> dict[str, str]:
    """Return the DuckDB type of each column."""
    return dict(zip(raw.columns, map(str, raw.types), strict=True))


def read_texts(reading: DuckDB, part: Path | pa.Table, name: str, rules: RuleBook) -> set[str]:
    """Create the views `raw` of a part and `part` of its texts, and the variables that map its countries; return these.

    Raises EngineError.
    """
    reading.register("raw", part if isinstance(part, pa.Table) else reading.read_parquet(str(part)))
    found = types(reading.table("raw"))
    if fault := columns.missing_columns(found) or columns.unusable(found):
        raise EngineError(f"{name}: {fault}")
    reading.execute(f"CREATE TEMP VIEW part AS SELECT {columns.texts(found)} FROM raw")
    texts = reading.execute("SELECT DISTINCT country_code FROM part WHERE country_code IS NOT NULL").fetchall()
    names = columns.country_names(text for (text,) in texts)
    for variable, values in columns.country_variables(names, keys=rules.compares("country_key")).items():
        if values:
            reading.execute(f"SET VARIABLE {variable} = map(?, ?)", [list(values), list(values.values())])
    return set(names.values()) - {"", columns.UNREADABLE}


def failed(error: duckdb.Error, of: str) -> EngineError:
    """Return DuckDB's error as ours, with the remedy."""
    said = str(error).splitlines()[0].rstrip(".")
    if isinstance(error, duckdb.OutOfMemoryException):
        return EngineError(f"{of}: {said}; set VOUCHER_MEMORY_MIB higher, or TMPDIR to a folder on a larger disk")
    return EngineError(f"{of} can't be read: {said}; replace the file")


@contextmanager
def session(within: DuckDB, today: date | None = None) -> Iterator[DuckDB]:
    """Open a connection with its own views and variables."""
    with within.cursor() as session:
        session.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        session.execute("SET VARIABLE today = CAST(? AS DATE)", [today])
        yield session
