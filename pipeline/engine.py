"""Runs the SQL of rules and segments over parts of the history, in this process, by DuckDB.

Called by `run.py` for the pipeline and by `workbench.py` for the notebooks, so that both count the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline import PipelineError, scratch
from pipeline.rules import COLUMNS, RuleBook
from pipeline.segments import ANSWERS, OUTCOMES, PLACED, TOTALS, UNPLACED, VOTES, SegmentBook

BATCH_ROWS = 100_000


class EngineError(PipelineError):
    """A part that can't be read to its end, or lacks a column."""


@dataclass(frozen=True)
class Results:
    """What a run publishes beside its cleaned rows.

    rows_in, rows_kept: of all parts; data_from, data_to: first and last timestamp (UTC) of the kept rows, None
    without any; tables: Arrow tables by their name in the schema `voucher`, without the column run_id.
    """

    rows_in: int
    rows_kept: int
    data_from: datetime | None
    data_to: datetime | None
    tables: dict[str, pa.Table]

    def by_rule(self) -> list[tuple[str, int, int]]:
        """Each rule's name, matches and drops, all countries together, most matches first."""
        counted = self.tables["rule_outcome"].group_by("rule").aggregate([("matched", "sum"), ("dropped", "sum")])
        rows = counted.sort_by([("matched_sum", "descending"), ("rule", "ascending")]).to_pylist()
        return [(row["rule"], row["matched_sum"], row["dropped_sum"]) for row in rows]


class Judged:
    """One part of the history, each row judged by the rules. Valid inside `judged()`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rules: RuleBook, segments: SegmentBook) -> None:
        self._connection, self._rules, self._segments = connection, rules, segments

    def tally(self) -> pa.Table:
        """How many rows had each outcome (see SegmentBook.tally): a few hundred lines, whatever the part's size."""
        return self._connection.sql(self._segments.tally(self._rules)).to_arrow_table()

    def kept(self, placed: bool = False) -> pa.RecordBatchReader:
        """The kept rows, typed, as a stream: the six columns, and, when `placed`, the segment of each kind."""
        columns = [*COLUMNS, *(kind.placed() for kind in self._segments.kinds if placed)]
        sql = f"SELECT {', '.join(columns)} FROM judged WHERE dropped_by IS NULL"
        return self._connection.sql(sql).to_arrow_reader(BATCH_ROWS)


@contextmanager
def judged(
    part: Path | pa.Table,
    rules: RuleBook,
    segments: SegmentBook,
    *,
    today: date | None = None,
    name: str = "",
    in_order: bool = False,
) -> Iterator[Judged]:
    """Open one part, a Parquet file or an Arrow table, with the rules applied.

    today pins the reference day; name is what errors call the part; in_order keeps the rows' order, which costs
    memory. Raises EngineError when a column is missing, or the part can't be read to its end.
    """
    with _connect(today, in_order) as connection:
        try:
            relation = connection.from_arrow(part) if isinstance(part, pa.Table) else connection.read_parquet(str(part))
            if missing := [column for column in COLUMNS if column not in relation.columns]:
                raise EngineError(
                    f"{name or part}: column {', '.join(missing)} is missing; it has {', '.join(relation.columns)}. "
                    "Write it with all six"
                )
            relation.create_view("part")
            connection.execute(f"CREATE TEMP VIEW judged AS {rules.sql('part')}")
            yield Judged(connection, rules, segments)
        except duckdb.Error as error:
            raise EngineError(
                f"{name or part} can't be read: {str(error).splitlines()[0]}; replace the file"
            ) from error


def results(tallies: Iterable[pa.Table], rules: RuleBook, segments: SegmentBook) -> Results:
    """Add up the tallies of all parts and pick each segment's most used amount."""
    with _connect() as connection:
        connection.register("tallies", pa.concat_tables(tallies))
        connection.execute("CREATE TABLE spelled AS SELECT country_code, sum(rows)::BIGINT FROM tallies GROUP BY ALL")
        connection.register("spelling", _spellings(connection.table("spelled").fetchall()))
        kinds = ", ".join(f'"{kind.name}"' for kind in segments.kinds)
        reasons = ", ".join(f'"{rule.name}"' for rule in rules.every)
        connection.execute(f"""
            CREATE TABLE tally AS SELECT * REPLACE (spelling.common AS country_code)
                FROM tallies LEFT JOIN spelling USING (country_code);
            CREATE TABLE defined AS {segments.defined()};
            CREATE VIEW placed AS {PLACED.format(kinds=kinds)};
            CREATE VIEW votes AS {VOTES};
        """)
        tables = {
            "rule_outcome": OUTCOMES.format(rules=reasons),
            "unplaced": UNPLACED,
            "segment_vote": VOTES,
            "segment": ANSWERS,
        }
        totals = connection.sql(TOTALS).to_arrow_table().to_pylist()[0]
        return Results(**totals, tables={name: connection.sql(sql).to_arrow_table() for name, sql in tables.items()})


def _spellings(counted: list[tuple[str | None, int]]) -> pa.Table:
    """Each spelling of a country beside the most frequent one of those that differ from it in case or white space."""
    spellings: dict[str, Counter[str]] = {}
    for spelling, rows in counted:
        if spelling is not None:
            spellings.setdefault(spelling.strip().casefold(), Counter())[spelling] += rows
    common = {
        spelling: min(alike, key=lambda each: (-alike[each], each)).strip()
        for alike in spellings.values()
        for spelling in alike
    }
    return pa.table(
        {"country_code": pa.array(common.keys(), pa.string()), "common": pa.array(common.values(), pa.string())}
    )


@contextmanager
def _connect(today: date | None = None, in_order: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    with scratch.folder() as spill, duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'; SET enable_progress_bar=false;")
        connection.execute("SET preserve_insertion_order=?", [in_order])
        connection.execute("SET temp_directory=?", [str(spill)])
        connection.execute("SET VARIABLE today = CAST(? AS DATE)", [today])
        yield connection
