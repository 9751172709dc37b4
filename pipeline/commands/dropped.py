"""`python -m pipeline dropped`: the rows behind a rule, read again from the source. Nothing is stored."""

import csv
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pipeline import PipelineError
from pipeline.commands.output import write
from pipeline.evaluate import engine
from pipeline.evaluate.dropped import check_rule, dropped_rows
from pipeline.load import tables
from pipeline.load.steps import BASE_MEMORY
from pipeline.publish import definitions, publication, runs
from pipeline.publish.database import Database, DatabaseError
from pipeline.publish.listing import find_id
from pipeline.rules.columns import ALL, COLUMNS
from pipeline.rules.rulebook import RuleBook
from pipeline.settings import database_url, memory, s3_anonymous
from pipeline.source import copies
from pipeline.source.parts import Part
from shared.addresses import redact
from shared.countries import country_key, hint

log = logging.getLogger("pipeline")

LIMIT = 20  # rows of the table
Row = tuple[str | None, ...]  # the texts of ALL, and the part


@dataclass
class _Reading:
    """The parts of a run, and the errors of those that can't be read again."""

    run: runs.Run
    rules: RuleBook
    parts: list[Part]
    errors: list[PipelineError] = field(default_factory=list)

    def rows(self, options: Any) -> Iterator[Row]:
        """Yield the rows of all parts that can still be read."""
        limits = engine.Limits(memory() - BASE_MEMORY, threads=2)
        with engine.open_duckdb(limits, in_order=True) as within:
            for part in self.parts:
                try:
                    yield from self._rows(part, options, within)
                except PipelineError as error:
                    self.errors.append(error)

    def _rows(self, part: Part, options: Any, within: engine.DuckDB) -> Iterator[Row]:
        which = {"country": options.country, "matched": options.matched, "today": self.run.today}
        with copies.local_copy(part, s3_anonymous()) as path:
            name = redact(part.uri)
            for batch in dropped_rows(path, self.rules, options.rule, within=within, name=name, **which):
                texts = (batch[column].to_pylist() for column in ALL)
                yield from zip(*texts, [name] * batch.num_rows, strict=True)


def dropped(options: Any) -> None:
    """List the rows as a table, or write them to a CSV file; log how many there are, and how many were counted.

    Raises PipelineError, after the others are listed, if a part is gone, has changed or can't be read.
    """
    database = Database(database_url(os.environ))
    run_id = find_id(database, options.run) if options.run else publication.current(database)
    if not run_id:
        raise DatabaseError("nothing is published; name a run with --run: `python -m pipeline runs` lists them")
    run = runs.get(database, run_id)
    with database.transaction() as cursor:
        rules = definitions.rule_book(cursor, run_id)
    check_rule(rules, options.rule)
    counted = _counted(database, options, run_id)
    if rules.hash != run.rules_hash:
        log.warning("run %s was made by another version of the software, so its rows may differ", run_id)
    reading = _Reading(run, rules, tables.parts(database, run_id))
    limit = options.limit or (None if options.csv else LIMIT)
    found = islice(reading.rows(options), limit)
    listed = _save(options.csv, found) if options.csv else _show(found)
    _conclude(options, run_id, listed, counted, is_whole=limit is None or listed < limit, errors=reading.errors)


def _counted(database: Database, options: Any, run_id: str) -> int:
    """Return how many rows the run counted. Raises DatabaseError if it wasn't loaded, or lacks the country."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT country_code, rule, matched, dropped FROM voucher.rule_outcome WHERE run_id = %s", (run_id,)
        )
        counts = cursor.fetchall()
    if not counts:
        raise DatabaseError(f"run {run_id} was not loaded; `python -m pipeline runs` lists the others")
    known = {row.country_code for row in counts} - {""}
    key = None if options.country is None else country_key(options.country)
    if key and key not in map(country_key, known):
        raise DatabaseError(f"run {run_id} has no country {options.country!r}; {hint(options.country, known)}")
    of_rule = (row for row in counts if row.rule == options.rule and key in {None, country_key(row.country_code)})
    return sum(row.matched if options.matched else row.dropped for row in of_rule)


def _save(path: Path, rows: Iterable[Row]) -> int:
    """Write a CSV file with all columns, and return the number of rows."""
    listed = 0
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            to = csv.writer(file)
            to.writerow((*ALL, "part"))
            for row in rows:
                to.writerow(row)
                listed += 1
    except OSError as error:
        raise PipelineError(f"{path} can't be written: {error.strerror}; name another file") from None
    return listed


def _show(rows: Iterable[Row]) -> int:
    """Write a table without the optional columns that no row has, and return the number of rows."""
    listed = list(rows)
    columns = [(name, *values) for name, *values in zip((*ALL, "part"), *listed, strict=True)]
    shown = [column for column in columns if column[0] in {*COLUMNS, "part"} or any(column[1:])]
    headers, *lines = zip(*shown, strict=True)
    if lines:
        write(tabulate([[*map(_text, line)] for line in lines], headers, disable_numparse=True))
    return len(listed)


def _text(value: str | None) -> str:
    """Return a text as it is; in quotes if a person could not see all of it."""
    if value is None:
        return "NULL"
    return value if value and value.isprintable() and value == value.strip() else repr(value)


def _conclude(
    options: Any, run_id: str, listed: int, counted: int, *, is_whole: bool, errors: list[PipelineError]
) -> None:
    """Say how many rows were listed of how many counted. Raises PipelineError for parts that can't be read again."""
    what = f"{'matched' if options.matched else 'dropped'} by {options.rule}"
    of = "" if options.country is None else f" of the country {options.country!r}"
    where = f" are in {options.csv}" if options.csv else ""
    counts = f"{listed:,} of the {counted:,} rows{of} that run {run_id} counted as {what}{where}"
    if errors:
        parts = "1 part" if len(errors) == 1 else f"{len(errors):,} parts"
        lines = "\n  ".join(sorted(map(str, errors)))
        raise PipelineError(f"only {counts}; {parts} can't be read again:\n  {lines}")
    if is_whole and listed != counted:
        log.warning("%s: this software reads the parts differently from the one that made the run", counts)
    elif is_whole:
        log.info("all %s", counts)
    else:
        log.info("the first %s; --limit lists more, --csv FILE writes all", counts)
