"""Detect table formats whose log says which files count: read as plain files, they contain deleted and replaced rows.

Called by `buckets` and `folders` for all folders that contain parts, and those above them.
"""

import re
from collections.abc import Callable, Iterable

from pipeline.source.listing import CODECS
from pipeline.source.s3 import SourceError
from shared.addresses import redact

FORMATS = {  # what such a table is, and a name beside or below which its files lie
    "a Delta table": r"_delta_log/?",
    "a Hudi table": r"\.hoodie/.*",
    "an Iceberg table": r"metadata/.*(\.metadata\.json(\.gz)?|\.gz\.metadata\.json|\.avro)",
    "a Paimon table": r"snapshot/snapshot-\d+",
    "the output of a Spark stream": r"_spark_metadata/?",
    "the storage of a lakeFS repository": r"_lakefs/?",
}
BEGINNINGS = ("_", ".hoodie/", "metadata/", "snapshot/")  # of all these names
HIVE = re.compile(r"(^|/)(base|delta|delete_delta)_0\d{6}(_\w+)?/")  # the rows of a transaction, and those it deleted
ENDING = re.compile(
    rf"(c\d+)?(\.({CODECS}))?(\.p\w*)?(\.({CODECS}))?$", re.IGNORECASE
)  # Spark's part-…-c000.snappy.parquet
WRITE = re.compile(r"_(started|committed)_(\d+)")  # Databricks: a write, and that it is whole


def folders_of(names: Iterable[str]) -> list[str]:
    """Return the folders of these files and all folders above them, each with "/" at its end; "" is the top."""
    return sorted(
        {name[:place] for name in names for place in (0, *(at + 1 for at, char in enumerate(name) if char == "/"))}
    )


def table(uri: str, pattern: str, folders: Iterable[str], names: Callable[[str, str], Iterable[str]]) -> str:
    """Return the table format of the parts in these folders, '' for none.

    Raises SourceError with `uri`, unless the pattern spells out names of files, so that live files can be named.
    `names` returns the names in a folder with a given beginning; names of folders may end in "/".
    """
    kind = next(filter(None, (_kind(folder, names) for folder in folders)), "")
    if kind and not _names_files(pattern):
        raise SourceError(
            f"{redact(uri)} is {kind}, or holds one: its log says which of its files count, and rows that were deleted "
            "or replaced are in the others. Export a plain copy, or name the live files: one file, or a pattern that "
            "spells out how their names begin"
        )
    return kind


def warning(uri: str, kind: str) -> str:
    """Return the warning for parts that a pattern selects from a table."""
    return f"{redact(uri)} names files of {kind}; its log is not read: each file that fits counts" if kind else ""


def _names_files(pattern: str) -> bool:
    """Return whether the pattern spells out more of the names than their ending, so that it selects single files."""
    spelled_out = re.sub(r"\[[^\]]*\]|[*?]", "", pattern.rpartition("/")[2])
    return bool(re.search(r"\w", ENDING.sub("", spelled_out)))


def _kind(folder: str, names: Callable[[str, str], Iterable[str]]) -> str:
    if HIVE.search(folder):
        return "a transactional Hive table"
    found = {name for beginning in BEGINNINGS for name in names(folder, beginning)}
    for kind, pattern in FORMATS.items():
        if any(re.fullmatch(pattern, name) for name in found):
            return kind
    writes = [written.groups() for name in found if (written := WRITE.fullmatch(name))]
    unfinished = {write for state, write in writes if state == "started"} - {w for s, w in writes if s == "committed"}
    return "the output of a Databricks write that was not finished" if unfinished else ""
