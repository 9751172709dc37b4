"""The segments: their file, and the SQL that assigns rows to segments and counts them.

`evaluate` runs the SQL, for notebooks and the DAG alike.
"""

import re
import tomllib
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import tomlkit
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline import PipelineError
from pipeline.rules import tomlfile
from pipeline.rules.columns import COLUMNS
from pipeline.rules.kinds import Kind, SegmentError, text
from pipeline.rules.lottery import DRAWS, Holdout, Lottery
from pipeline.rules.sql.effects import ANSWERS, EFFECTS, POLICIES, TRIED
from pipeline.rules.sql.intervals import INTERVALS
from pipeline.rules.sql.tallies import MOST_USED, OUTCOME_SUMS, OUTCOMES, PLACED, TYPES, UNPLACED, VOTES, utc_day
from shared import files

SEGMENTS_FILE = Path(__file__).parents[1] / "segments.toml"

HEADER = """# Written by notebooks/03_segments.ipynb: change the segments there, then `make rules`.
# `choose` of a kind, [lottery] and [holdout] are written here, and kept: docs/effects.md.
"""
# A table's header, with the comments and blank lines above it.
TABLE = re.compile(r"(?:^(?:#.*)?\n)*^\[\[?([\w.]+)\]", re.MULTILINE)


@dataclass(frozen=True, config=tomlfile.CHECKS)
class SegmentBook:
    """The segment kinds in file order, and which customers get an amount by lottery."""

    kinds: tuple[Kind, ...]
    lottery: Lottery = Lottery()
    holdout: Holdout = Holdout()

    def __post_init__(self) -> None:
        names = [kind.name for kind in self.kinds]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SegmentError(f"there are two kinds named {twice[0]}; each needs its own name")
        if fault := self.lottery.fault(self.holdout):
            raise SegmentError(fault)

    @classmethod
    def load(cls, path: Path = SEGMENTS_FILE) -> "SegmentBook":
        """Read and check a segments file. Raises SegmentError with the file, the kind and what is wrong with it."""
        try:
            file = tomlfile.read(path, _File)
            return cls(file.kind, file.lottery, file.holdout)
        except PipelineError as error:
            raise SegmentError(f"{path}: {error}") from None

    def save(self, path: Path = SEGMENTS_FILE) -> None:
        """Replace the kinds of the file that the pipeline reads, atomically; keep its other tables as they are.

        Raises SegmentError if something else of the file would be lost.
        """
        document = tomlkit.document()
        document.add("kind", tomlkit.aot())
        for kind in self.kinds:
            document["kind"].append(_table(kind))
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = f"{HEADER}\n{tomlkit.dumps(document)}{_without_kinds(before)}"
        if {**tomllib.loads(before), "kind": ...} != {**tomllib.loads(after), "kind": ...}:
            raise SegmentError(f"{path}: write [lottery] and [holdout] as tables, each header in a line of its own")
        files.replace(path, after)

    @property
    def hash(self) -> str:
        """A hash that changes if rows fall into other segments, or amounts are found or drawn in another way."""
        sql = [self.tally(), self.defined(), OUTCOMES, PLACED, UNPLACED, VOTES, MOST_USED, INTERVALS]
        sql += [TRIED, EFFECTS, POLICIES, ANSWERS, DRAWS, repr(self.lottery), repr(self.holdout)]
        return sha256("\n".join(sql).encode()).hexdigest()[:16]

    def tally(self, outcomes: bool = True) -> str:
        """Return a SELECT over the table `judged` (see RuleBook.sql): how many `rows` had each distinct outcome.

        The outcome of a kept row is its country, its amount, its segment of each kind and the number of its UTC day,
        `sent`; the first and last `timestamp` are added, and with `outcomes` the `cluster` of rows whose outcome is
        known, and OUTCOME_SUMS. The outcome of a dropped row is its country and what it `matched`; an example is added:
        the first in order, as it was read, and the texts of the first unreadable one.
        """
        known = ["CASE WHEN redeemed IS NOT NULL THEN cluster END AS cluster"] if outcomes else []
        known += [f"CAST({value} AS {TYPES[name]}) AS {name}" for name, value in OUTCOME_SUMS.items() if outcomes]
        row = f"struct_pack({', '.join(f'{column} := {column}' for column in COLUMNS)})"
        return f"""WITH dropped AS (
  SELECT country_code, matched, count(*) AS rows, min({row}) AS dropped_row, min(unreadable_row) AS unreadable_row
  FROM judged WHERE matched <> 0 GROUP BY ALL
), kept AS (
  SELECT country_code, matched, voucher_amount, {", ".join(kind.placed() for kind in self.kinds)},
    CAST({utc_day("timestamp")} AS INTEGER) AS sent,
    {", ".join(["count(*) AS rows, min(timestamp) AS data_from, max(timestamp) AS data_to", *known])}
  FROM judged WHERE matched = 0 GROUP BY ALL
)
FROM dropped UNION ALL BY NAME FROM kept"""

    def defined(self) -> str:
        """Return a SELECT of the segments: names, position, measure, bounds, and how the kind chooses."""
        rows = ",\n    ".join(
            f"({text(kind.name)}, {text(segment.label)}, {position}, {text(kind.measure)}, {segment.lower}, "
            f"{'NULL' if segment.upper is None else segment.upper}, '{kind.choose}')"
            for kind in self.kinds
            for position, segment in enumerate(kind.segments)
        )
        return f"""SELECT * FROM (VALUES
    {rows}) AS defined(segment_name, segment, position, measure, lower_bound, upper_bound, choose)"""


def _table(kind: Kind) -> tomlkit.items.Table:
    table = tomlkit.table()
    texts = {"name": kind.name, "title": kind.title, "measure": kind.measure, "because": kind.because}
    table.update({name: value for name, value in texts.items() if value})
    if kind.choose != "most_used":
        table["choose"] = kind.choose
    table["segments"] = tomlkit.array().multiline(multiline=True)
    for segment in kind.segments:
        entry = {"label": segment.label, "from": segment.lower, "to": segment.upper, "title": segment.title or None}
        inline = tomlkit.inline_table()
        inline.update({name: value for name, value in entry.items() if value is not None})
        table["segments"].append(inline)
    return table


def _without_kinds(file: str) -> str:
    """Return the text of the file's tables that are not kinds."""
    tables = [*TABLE.finditer(file)]
    ends = pairwise([*(table.start() for table in tables), len(file)])
    others = [
        file[start:end] for table, (start, end) in zip(tables, ends, strict=True) if table[1].split(".")[0] != "kind"
    ]
    return "".join(f"\n{other.strip()}\n" for other in others)


class _File(tomlfile.Checked):
    kind: tuple[Kind, ...] = Field(min_length=1)
    lottery: Lottery = Lottery()
    holdout: Holdout = Holdout()
