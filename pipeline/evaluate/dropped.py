"""The rows behind a rule: read a part again, and return the rows that the rule dropped or matched, as they stand in it.

`commands.dropped` and `workbench` call it. The SQL is that of the counts, so there are as many rows as they say.
"""

from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.evaluate import engine
from pipeline.evaluate.engine import BATCH_ROWS, DuckDB
from pipeline.rules.columns import ALL
from pipeline.rules.rulebook import RuleBook, RuleError
from shared.countries import country_key


def check_rule(rules: RuleBook, rule: str) -> None:
    """Raise RuleError, with the nearest name, if neither a rule nor a built-in reason has this name."""
    if rule not in rules.bits:
        near = get_close_matches(rule, rules.bits, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the rules are {', '.join(rules.bits)}"
        raise RuleError(f"there is no rule {rule!r}; {hint}")


def dropped_rows(
    part: Path | pa.Table,
    rules: RuleBook,
    rule: str,
    *,
    within: DuckDB,
    country: str | None = None,
    matched: bool = False,
    today: date | None = None,
    name: str = "",
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, a Parquet file or an Arrow table, that a rule or built-in reason dropped.

    Each batch has the columns of `columns.ALL` as text, NULL where a value or the column is missing, in the order of
    the file if `within` keeps it. A row that matches several rules was dropped by the first of them; with `matched`,
    the rows that the rule matches are yielded, whichever rule dropped them. country selects all spellings of one, ''
    the rows whose country is missing or unreadable. today and name: see `engine.evaluate`.

    Raises RuleError if there is no such rule, EngineError if the part can't be read.
    """
    check_rule(rules, rule)
    name = name or (str(part) if isinstance(part, Path) else "the table")
    with engine.session(within, today) as reading:
        try:
            countries = engine.read_texts(reading, part, name, rules)
            texts = [f"{column}_text" for column in ALL]
            rows = f"""WITH judged AS ({rules.sql("part", texts)}), attributed AS (
                SELECT *, {rules.dropped_by()} FROM judged)
              SELECT {", ".join(f"{column}_text AS {column}" for column in ALL)} FROM attributed
              WHERE {f"matched & {rules.bits[rule]} <> 0" if matched else f"dropped_by = '{rule}'"}"""
            values = None
            if country is not None:
                key = country_key(country)
                values = [[each for each in countries if country_key(each) == key] if key else [""]]
                rows += " AND list_contains(CAST(? AS VARCHAR[]), coalesce(country_code, ''))"
            yield from reading.sql(rows, params=values).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise engine.failed(error, name) from error
