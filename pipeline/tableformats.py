"""Table formats whose log says which of the files count. Read as plain files, they give rows that were deleted or
replaced long ago. Called by `source` for all folders that hold parts, and those above them.
"""

import re
from collections.abc import Callable, Iterable

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
WRITE = re.compile(r"_(started|committed)_(\d+)")  # Databricks: a write, and that it is whole


def table(folders: Iterable[str], names: Callable[[str, str], Iterable[str]]) -> str:
    """Return what the first of the folders is that is no plain folder, '' for none.

    `names` gives the names in a folder that begin as said; those of folders may end in "/".
    """
    for folder in folders:
        if HIVE.search(folder):
            return "a transactional Hive table"
        found = {name for beginning in BEGINNINGS for name in names(folder, beginning)}
        for kind, pattern in FORMATS.items():
            if any(re.fullmatch(pattern, name) for name in found):
                return kind
        writes = [written.groups() for name in found if (written := WRITE.fullmatch(name))]
        if {write for state, write in writes if state == "started"} - {w for s, w in writes if s == "committed"}:
            return "the output of a Databricks write that was not finished"
    return ""
