"""Read the cleaned rows of a run from Postgres as lines of CSV, page by page. Used by `assignments`.

Each page is a statement that takes some 10 ms. A single statement, or a COPY, would lock the partition until its end:
`prune` would wait for it, and other queries for `prune`. The rows of a run never change, so the pages need no common
snapshot.

The rows are not written to a file first. For 4 million rows (400 MB), the stream sends the first byte after 4 s and the
last one after 20 s. A file would send its first byte after 11 to 15 s. Only later downloads would be faster, and it
would need a volume, a lock between workers and a rule for a full disk.
"""

from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from sqlalchemy import select

from app.errors import ApiError
from app.places.countries import Countries
from app.published import models
from app.published.reader import Reader, UnknownRunError
from app.reports import responses
from app.reports.rows import csv_sql
from shared.countries import country_key, country_name

HEADER = responses.csv_line(csv_sql.COLUMNS).encode()
PAGE = 64  # blocks: half a megabyte, some 5,000 rows
COUNTED = 4096  # blocks per statement that counts rows, which takes less than a second


class RowsGoneError(ApiError):
    """The run's partition has been dropped, possibly during the download."""

    status = HTTPStatus.GONE
    type = "rows-gone"
    title = "The rows are gone"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"The cleaned rows of run {run_id} are no longer kept. Only those of the last VOUCHER_KEEP_RUNS published "
            "runs are. The run's segments, rules and audits are still available."
        )


class RowsElsewhereError(ApiError):
    """The run's rows are not in Postgres, but in Parquet files under `uri`."""

    status = HTTPStatus.NOT_FOUND
    type = "rows-elsewhere"
    title = "The rows are stored elsewhere"

    def __init__(self, run_id: str, uri: str) -> None:
        super().__init__(
            f"The cleaned rows of run {run_id} are in Parquet files under {uri}, because VOUCHER_ROWS was set when "
            "they were loaded. docs/growing.md says how to read them. The run's segments, rules and audits are here."
        )


@dataclass(frozen=True)
class Partition:
    """The table with the rows that one run loaded. Of these, only those of `parts` belong to the download."""

    loaded_by: str
    parts: tuple[int, ...]
    file: int
    blocks: int

    def pages(self, blocks: int) -> Iterable[dict[str, object]]:
        """Yield the query parameters of each page of so many blocks."""
        for first in range(0, self.blocks, blocks):
            between = {"first": f"({first},0)", "behind": f"({first + blocks},0)"}
            yield {"loaded_by": self.loaded_by, "parts": list(self.parts), **between}


@dataclass(frozen=True)
class Spelling:
    """A spelling of a country, its number of rows, and the bytes of their lines."""

    country_code: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class CleanedRows:
    """Cleaned rows of a run: all, or those of one country."""

    run_id: str
    partitions: tuple[Partition, ...]
    spellings: tuple[Spelling, ...]

    @property
    def length(self) -> int:
        """The bytes of the whole download. Only with this can a client of granian notice that the end is missing."""
        return len(HEADER) + sum(spelling.bytes for spelling in self.spellings)

    def lines(self, reader: Reader) -> Generator[bytes, None, None]:
        """Yield the header, then the pages in order of loading. Raises RowsGoneError or DatabaseUnavailableError."""
        countries = {
            "spellings": [spelling.country_code for spelling in self.spellings],
            "written": [responses.csv_field(spelling.country_code) for spelling in self.spellings],
        }
        yield HEADER
        for partition in self.partitions:
            for page in partition.pages(PAGE):
                [[found]] = reader.read(csv_sql.LINES.bindparams(**page, **countries, file=partition.file))
                if not found.there:
                    raise RowsGoneError(self.run_id)
                if found.lines:
                    yield found.lines.encode()

    def of_country(self, country: str) -> "CleanedRows":
        """Return the rows of one country. Raises the errors of `Countries.find`."""
        key = country_key(Countries(self.countries).find(country))
        spellings = tuple(spelling for spelling in self.spellings if country_key(spelling.country_code) == key)
        return CleanedRows(self.run_id, self.partitions, spellings)

    @property
    def countries(self) -> list[str]:
        """The countries, most rows first, each in its most common spelling."""
        rows: Counter[str] = Counter()
        common: dict[str, str] = {}
        for spelling in sorted(self.spellings, key=lambda each: (-each.rows, each.country_code)):
            key = country_key(spelling.country_code)
            rows[key] += spelling.rows
            common.setdefault(key, country_name(spelling.country_code))
        return [common[country] for country, _ in rows.most_common()]


def find_rows(reader: Reader, run_id: str) -> CleanedRows:
    """Return a run's rows. Raises UnknownRunError, RowsElsewhereError, RowsGoneError or DatabaseUnavailableError."""
    run, publications, partitions = reader.read(
        select(models.Run.finished_at, models.Run.rows_uri).where(models.Run.run_id == run_id),
        select(models.Publication.at).where(models.Publication.run_id == run_id).limit(1),
        csv_sql.PARTITIONS.bindparams(run_id=run_id),
    )
    if not run:
        raise UnknownRunError(run_id)
    if not publications:
        raise UnknownRunError(run_id, "was never published")
    if run[0].rows_uri:
        raise RowsElsewhereError(run_id, run[0].rows_uri)
    if not partitions or run[0].finished_at is None or any(row.blocks is None for row in partitions):
        raise RowsGoneError(run_id)
    tables = tuple(Partition(row.loaded_by, tuple(row.parts), row.file, row.blocks) for row in partitions)
    return CleanedRows(run_id, tables, _spellings(reader, tables))


@lru_cache(maxsize=32)
def _spellings(reader: Reader, partitions: tuple[Partition, ...]) -> tuple[Spelling, ...]:
    """Count rows and bytes by spelling, once per run, because its rows never change. A million rows take a second."""
    rows: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for partition in partitions:
        for page in partition.pages(COUNTED):
            for found in reader.read(csv_sql.SPELLINGS.bindparams(**page))[0]:
                rows[found.country_code] += found.rows
                written = responses.csv_field(found.country_code).encode()
                size[found.country_code] += int(found.bytes) + found.rows * len(written)
    return tuple(Spelling(country, rows[country], size[country]) for country in sorted(rows))
