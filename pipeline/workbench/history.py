"""Read the history of a workbench: all parts of a source, as one table in memory."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import SAMPLE_MARK
from pipeline.evaluate import engine
from pipeline.rules import columns
from pipeline.rules.columns import missing_columns
from pipeline.source import copies
from pipeline.source.parts import list_parts
from pipeline.source.s3 import SourceError
from shared.addresses import redact

SAMPLE = "synthetic sample"


def read(uri: str, anonymous: bool = False) -> tuple[pa.Table, str]:
    """Read all parts of what `uri` names, as VOUCHER_SOURCE would.

    Return one table, and what the history is called: its address without secrets, or the sample. Raises SourceError.
    """
    tables: list[pa.Table] = []
    for part in list_parts(uri, anonymous):
        with copies.local_copy(part, anonymous) as path:
            tables.append(pq.read_table(path))
        if fault := missing_columns(tables[-1].column_names):
            raise SourceError(f"{part.uri}: {fault}")
    sample = all(SAMPLE_MARK in (table.schema.metadata or {}).items() for table in tables)
    return _together(tables), SAMPLE if sample else redact(uri)


def _together(tables: list[pa.Table]) -> pa.Table:
    """Return one table of all. If column types differ, as in two editions of a history, the columns are texts."""
    types = {(field.name, field.type) for table in tables for field in table.schema if not pa.types.is_null(field.type)}
    if len(types) == len({name for name, _ in types}):
        return pa.concat_tables(tables, promote_options="permissive")
    texts = pa.schema([(name, pa.string()) for name in columns.ALL if any(name in t.column_names for t in tables)])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        found = [connection.from_arrow(table) for table in tables]
        read = [each.project(columns.texts(engine.types(each))).to_arrow_table() for each in found]
    return pa.concat_tables(each.select(texts.names).cast(texts) for each in read)
