"""Aggregate the counts of all parts of a run, and find each segment's answer. Called by `load` and `workbench`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain

import duckdb
import pyarrow as pa

from pipeline.evaluate.engine import DuckDB, Limits, failed, open_duckdb, session
from pipeline.rules.kinds import SegmentError
from pipeline.rules.lottery import DRAWS, Lottery
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.rules.sql.effects import ANSWERS, EFFECTS, POLICIES, TRIED
from pipeline.rules.sql.intervals import INTERVALS
from pipeline.rules.sql.tallies import MOST_USED, OUTCOMES, PLACED, TOTALS, UNPLACED, VOTES, VOTES_BY_COUNTRY, added_up
from shared.countries import country_key, hint


@dataclass(frozen=True)
class Results:
    """What a run publishes beside its cleaned rows.

    rows_in, rows_kept: of all parts. data_from, data_to: first and last timestamp (UTC) of the kept rows, or None.
    tables: Arrow tables by their names in the schema `voucher`, without the column run_id.
    """

    rows_in: int
    rows_kept: int
    data_from: datetime | None
    data_to: datetime | None
    tables: dict[str, pa.Table]

    def by_rule(self) -> list[tuple[str, int, int]]:
        """Return each rule's name, matches and drops over all countries, most matches first."""
        counted = self.tables["rule_outcome"].group_by("rule").aggregate([("matched", "sum"), ("dropped", "sum")])
        rows = counted.sort_by([("matched_sum", "descending"), ("rule", "ascending")]).to_pylist()
        return [(row["rule"], row["matched_sum"], row["dropped_sum"]) for row in rows]


def aggregate(
    tallies: Iterable[pa.Table], rules: RuleBook, segments: SegmentBook, limits: Limits | None = None
) -> Results:
    """Add up the tallies of all parts (one or more), and find each segment's answer.

    Raises EngineError, or SegmentError if the lottery names a country that the history doesn't have.
    """
    try:
        with open_duckdb(limits) as within, session(within) as connection:
            return _results(connection, tallies, rules, segments)
    except duckdb.OutOfMemoryException as error:
        raise failed(error, "the counts of all parts") from None


def _results(connection: DuckDB, tallies: Iterable[pa.Table], rules: RuleBook, segments: SegmentBook) -> Results:
    connection.register("tallies", _chain_batches(iter(tallies)))
    connection.execute(f"CREATE TABLE added AS {added_up()}")
    connection.execute("CREATE TABLE spelled AS SELECT country_code, sum(rows)::BIGINT FROM added GROUP BY ALL")
    spellings = _spellings(connection.table("spelled").fetchall())
    connection.register("spelling", spellings)
    kinds = ", ".join(f'"{kind.name}"' for kind in segments.kinds)
    reasons = ", ".join(f'"{rule.name}"' for rule in rules.all_rules)
    connection.execute(f"""
        CREATE TABLE tally AS SELECT * EXCLUDE (matched) REPLACE (spelling.common AS country_code),
            {", ".join(rules.flags())}, {rules.dropped_by()}
            FROM added LEFT JOIN spelling USING (country_code);
        CREATE TABLE defined AS {segments.defined()};
        CREATE TEMP TABLE placed AS {PLACED.format(kinds=kinds)};
        CREATE TEMP VIEW votes AS {VOTES};
        CREATE TABLE votes_by_country AS {VOTES_BY_COUNTRY};
        CREATE TABLE most_used AS {MOST_USED};
        CREATE TABLE tried AS {TRIED};
        CREATE TABLE effects AS {EFFECTS};
        CREATE TABLE answers AS {ANSWERS};
    """)
    connection.register("named", _named(segments.lottery, spellings))
    tables = {
        "rule_outcome": OUTCOMES.format(rules=reasons),
        "unplaced": UNPLACED,
        "segment_vote": VOTES,
        "segment": INTERVALS,
        "effect": "FROM effects",
        "policy": POLICIES,
    }
    totals = connection.sql(TOTALS).to_arrow_table().to_pylist()[0]
    found = {name: connection.sql(sql).to_arrow_table() for name, sql in tables.items()}
    found["draw"] = connection.sql(DRAWS, params=segments.lottery.tickets(segments.holdout)).to_arrow_table()
    return Results(**totals, tables=found)


def _chain_batches(tallies: Iterator[pa.Table]) -> pa.RecordBatchReader:
    first = next(tallies)
    batches = (batch for tally in chain([first], tallies) for batch in tally.to_batches())
    return pa.RecordBatchReader.from_batches(first.schema, batches)


def _spellings(counted: list[tuple[str | None, int]]) -> pa.Table:
    """Return each spelling of a country with its most frequent one, or the first of several."""
    spellings: dict[str, Counter[str]] = {}
    for spelling, rows in counted:
        if spelling is not None:
            spellings.setdefault(country_key(spelling), Counter())[spelling] += rows
    common = {
        spelling: min(alike, key=lambda each: (-alike[each], each))
        for alike in spellings.values()
        for spelling in alike
    }
    return pa.table(
        {"country_code": pa.array(common.keys(), pa.string()), "common": pa.array(common.values(), pa.string())}
    )


def _named(lottery: Lottery, spellings: pa.Table) -> pa.Table:
    """Return the amounts that the file names for the lottery, with the country as the run spells it."""
    common = {country_key(name): name for name in spellings["common"].to_pylist()}
    named: list[tuple[str, Decimal]] = []
    for country, amounts in lottery.amounts.items():
        if (name := common.get(country_key(country))) is None:
            raise SegmentError(
                f"segments.toml: lottery: amounts of {country!r}: the history has no such country; "
                f"{hint(country, common.values())}"
            )
        named += [(name, amount) for amount in amounts]
    return pa.table(
        {
            "country_code": pa.array([name for name, _ in named], pa.string()),
            "voucher_amount": pa.array([amount for _, amount in named], pa.decimal128(12, 2)),
        }
    )
