"""Read the cleaned rows of a run from Postgres as lines of CSV, page by page. Used by `assignments`.

Each page is a statement of some 10 ms. A single one, or a COPY, would lock the partition until its end: `prune` would
wait for it, and other queries for `prune`. The rows of a run never change, so the pages need no common snapshot.

There is no file of them. Of 4 million rows (400 MB), the stream sends the first byte after 4 s and the last after 20 s.
A file takes 11 to 15 s before its first byte. Only later downloads would be faster, and it would need a volume, a lock
between workers and a rule for a full disk.
"""

from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from sqlalchemy import select, text

from app.errors import ApiError
from app.published import models
from app.published.reader import Reader, UnknownRunError
from app.published.snapshot import UnknownCountryError
from app.reports import rfc4180
from shared.countries import country_key, country_name

COLUMNS = ("timestamp", "country_code", "first_order_ts", "last_order_ts", "total_orders", "voucher_amount")
HEADER = rfc4180.line(COLUMNS).encode()
PAGE = 64  # blocks: half a megabyte, some 5,000 rows
COUNTED = 4096  # blocks whose rows are counted in one statement, within a second


def _time(column: str) -> str:
    """ISO 8601 in UTC, of one width: pandas and DuckDB choose the format of a column by its first values."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _width(column: str) -> str:
    """Its length. Formatting every time to measure it would take as long as the download."""
    usual = f"{column} BETWEEN '0001-01-02 00:00Z' AND '9999-12-30 00:00Z'"
    return f"CASE WHEN {usual} THEN 27 ELSE coalesce(octet_length({_time(column)}), 0) END"


TIMES = ('"timestamp"', "first_order_ts", "last_order_ts")
NUMBERS = "concat(total_orders, ',', trim_scale(voucher_amount), chr(13), chr(10))"
LINE = "concat({}, ',', written, ',', {}, ',', {}, ',', {})".format(*map(_time, TIMES), NUMBERS)
# The length of a line without its country, which is ASCII and so the same in every encoding of the database.
BYTES = " + ".join([*map(_width, TIMES), f"octet_length({NUMBERS})", "4"])
ROWS = """loaded_by = :loaded_by AND part_id = ANY(:parts)
    AND assignment.ctid >= CAST(:first AS tid) AND assignment.ctid < CAST(:behind AS tid)"""

# `file` is another once a partition was dropped and loaded again; NULL where it was dropped.
PARTITIONS = text("""
    SELECT loaded_by, array_agg(part_id ORDER BY part_id) AS parts, pg_relation_filenode(partition) AS file,
        pg_relation_size(partition) / CAST(current_setting('block_size') AS bigint) AS blocks
    FROM voucher.run_part, LATERAL to_regclass('voucher.assignment_' || loaded_by) AS partition
    WHERE run_id = :run_id GROUP BY loaded_by, partition ORDER BY loaded_by""")
SPELLINGS = text(f"""
    SELECT country_code, count(*) AS rows, sum({BYTES}) AS bytes
    FROM voucher.assignment WHERE {ROWS} GROUP BY country_code""")
LINES = text(f"""
    SELECT pg_relation_filenode(to_regclass('voucher.assignment_' || :loaded_by)) = :file AS there,
        (SELECT string_agg({LINE}, '' ORDER BY assignment.ctid)
        FROM voucher.assignment
            JOIN unnest(CAST(:spellings AS text[]), CAST(:written AS text[])) AS country (country_code, written)
            USING (country_code)
        WHERE {ROWS}) AS lines""")


class RowsGoneError(ApiError):
    """The run's partition was dropped, possibly while it was read."""

    status = HTTPStatus.GONE
    type = "rows-gone"
    title = "The rows are gone"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"The cleaned rows of run {run_id} are not kept any more; those of the last VOUCHER_KEEP_RUNS published "
            "runs are. Its segments, rules and audits still stand."
        )


class RowsElsewhereError(ApiError):
    """The run's rows are not in Postgres but in Parquet files under `uri`."""

    status = HTTPStatus.NOT_FOUND
    type = "rows-elsewhere"
    title = "The rows lie elsewhere"

    def __init__(self, run_id: str, uri: str) -> None:
        super().__init__(
            f"The cleaned rows of run {run_id} are Parquet files under {uri}, as VOUCHER_ROWS said when they "
            "were loaded; docs/growing.md tells how to read them. Its segments, rules and audits are here."
        )


@dataclass(frozen=True)
class Partition:
    """The rows that one run loaded. Only those of `parts` are meant."""

    loaded_by: str
    parts: tuple[int, ...]
    file: int
    blocks: int

    def pages(self, blocks: int) -> Iterable[dict[str, object]]:
        """Yield the parameters of each page."""
        for first in range(0, self.blocks, blocks):
            between = {"first": f"({first},0)", "behind": f"({first + blocks},0)"}
            yield {"loaded_by": self.loaded_by, "parts": list(self.parts), **between}


@dataclass(frozen=True)
class Spelling:
    """A spelling of a country, how many rows have it, and the bytes of their lines."""

    country_code: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Cleaned:
    """Some rows of a run."""

    run_id: str
    partitions: tuple[Partition, ...]
    spellings: tuple[Spelling, ...]

    @property
    def length(self) -> int:
        """The bytes of the whole download. Only by this can a client of granian tell that the end is missing."""
        return len(HEADER) + sum(spelling.bytes for spelling in self.spellings)

    def lines(self, reader: Reader) -> Generator[bytes, None, None]:
        """Yield the header, then each page in the order of loading. Raises RowsGoneError, DatabaseAwayError."""
        countries = {
            "spellings": [spelling.country_code for spelling in self.spellings],
            "written": [rfc4180.field(spelling.country_code) for spelling in self.spellings],
        }
        yield HEADER
        for partition in self.partitions:
            for page in partition.pages(PAGE):
                [[found]] = reader.read(LINES.bindparams(**page, **countries, file=partition.file))
                if not found.there:
                    raise RowsGoneError(self.run_id)
                if found.lines:
                    yield found.lines.encode()

    def of(self, country: str) -> "Cleaned":
        """Raises UnknownCountryError."""
        key = country_key(country)
        meant = tuple(spelling for spelling in self.spellings if country_key(spelling.country_code) == key)
        if not meant:
            raise UnknownCountryError(country, self.countries)
        return Cleaned(self.run_id, self.partitions, meant)

    @property
    def countries(self) -> list[str]:
        """Each country once, in its most common spelling, most rows first."""
        rows: Counter[str] = Counter()
        common: dict[str, str] = {}
        for spelling in sorted(self.spellings, key=lambda each: (-each.rows, each.country_code)):
            key = country_key(spelling.country_code)
            rows[key] += spelling.rows
            common.setdefault(key, country_name(spelling.country_code))
        return [common[country] for country, _ in rows.most_common()]


def cleaned(reader: Reader, run_id: str) -> Cleaned:
    """Find a run's rows. Raises UnknownRunError, RowsElsewhereError, RowsGoneError, DatabaseAwayError."""
    run, publications, partitions = reader.read(
        select(models.Run.finished_at, models.Run.rows_uri).where(models.Run.run_id == run_id),
        select(models.Publication.at).where(models.Publication.run_id == run_id).limit(1),
        PARTITIONS.bindparams(run_id=run_id),
    )
    if not run:
        raise UnknownRunError(run_id)
    if not publications:
        raise UnknownRunError(run_id, "was never published")
    if run[0].rows_uri:
        raise RowsElsewhereError(run_id, run[0].rows_uri)
    if not partitions or run[0].finished_at is None or any(row.blocks is None for row in partitions):
        raise RowsGoneError(run_id)
    held = tuple(Partition(row.loaded_by, tuple(row.parts), row.file, row.blocks) for row in partitions)
    return Cleaned(run_id, held, _spellings(reader, held))


@lru_cache(maxsize=32)
def _spellings(reader: Reader, partitions: tuple[Partition, ...]) -> tuple[Spelling, ...]:
    """Count once per run, because its rows never change: a second for a million rows, before the first byte."""
    rows: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for partition in partitions:
        for page in partition.pages(COUNTED):
            for found in reader.read(SPELLINGS.bindparams(**page))[0]:
                rows[found.country_code] += found.rows
                written = rfc4180.field(found.country_code).encode()
                size[found.country_code] += int(found.bytes) + found.rows * len(written)
    return tuple(Spelling(country, rows[country], size[country]) for country in sorted(rows))
