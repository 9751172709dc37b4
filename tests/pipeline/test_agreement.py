"""Properties of any rows: none is lost, the order of rules doesn't matter, and DuckDB and Postgres agree."""

from contextlib import closing
from typing import Any

import psycopg2
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from dev.services.postgres import Postgres
from pipeline.evaluate import engine
from pipeline.evaluate.totals import Results, aggregate
from pipeline.rules.columns import COLUMNS
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.rules.segments import SegmentBook
from shared.countries import country_key

SHIPPED = RuleBook.load().rules
CONDITIONS = [
    *(str(rule.drop_when) for rule in SHIPPED),
    "timestamp < last_order_ts",
    "NOT total_orders BETWEEN 1 AND 20",
    "voucher_amount IN (2640, 4400.5) OR country_code = 'Peru'",
    "CAST(timestamp AS DATE) - CAST(last_order_ts AS DATE) > 90",
    "last_order_ts - first_order_ts >= INTERVAL '30' DAY",
    "first_order_ts + INTERVAL '1' MONTH < timestamp",
    "CAST(last_order_ts AS DATE) <> DATE '2020-03-01' AND total_orders <> 3",
    "timestamp < TIMESTAMP '2020-03-31 23:59:59.5'",
]
TIMES = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "2020-03-31", "2020-03-31 23:59:59.5", "2020-02-29T12:00Z", "2020-03-01 00:30:00+02:00", "soon"]
    ),
    st.datetimes().map(str),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "timestamp": TIMES,
            "country_code": st.sampled_from(["Peru", "peru ", "Latvia", "", None]),
            "first_order_ts": TIMES,
            "last_order_ts": TIMES,
            "total_orders": st.sampled_from(
                [None, "", " ", "nan", "0", "1.0", "3", "21.0", "2147483647", "-1", "many"]
            ),
            "voucher_amount": st.sampled_from([None, "", "0", "2640", "4400.50", "-1", "inf", "1e9", "0.001"]),
        }
    ),
    min_size=1,
    max_size=12,
).flatmap(lambda rows: st.sampled_from([rows, rows + rows[:1], rows * 2]))
LENIENT = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in COLUMNS})


def results(rows: list[dict[str, Any]], rules: RuleBook, within: engine.DuckDB) -> Results:
    segments = SegmentBook.load()
    with engine.evaluate(table(rows), rules, segments, within=within) as part:
        return aggregate([part.tally()], rules, segments)


def kept(rows: list[dict[str, Any]], rules: RuleBook) -> list[dict[str, Any]]:
    opened = engine.open_duckdb(in_order=True)
    with opened as within, engine.evaluate(table(rows), rules, SegmentBook.load(), within=within) as part:
        return part.kept().read_all().to_pylist()  # type: ignore[no-any-return]


@LENIENT
@given(rows=ROWS, order=st.permutations(SHIPPED))
def test_nothing_is_lost_and_order_does_not_matter(
    duckdb: engine.DuckDB, rows: list[dict[str, Any]], order: list[Rule]
) -> None:
    """Kept and dropped rows add up to all rows; matches, kept rows and answers don't depend on the rules' order."""
    shipped, other = (results(rows, RuleBook(tuple(rules)), duckdb) for rules in (SHIPPED, order))
    assert shipped.rows_in == len(rows) == shipped.rows_kept + sum(dropped for *_, dropped in shipped.by_rule())
    assert shipped.rows_kept == other.rows_kept
    assert {name: matched for name, matched, _ in shipped.by_rule()} == {
        name: matched for name, matched, _ in other.by_rule()
    }
    assert sorted(map(str, shipped.tables["segment"].to_pylist())) == sorted(
        map(str, other.tables["segment"].to_pylist())
    )


@LENIENT
@given(rows=ROWS, condition=st.sampled_from(CONDITIONS))
def test_duckdb_and_postgres_agree(postgres: Postgres, rows: list[dict[str, Any]], condition: str) -> None:
    """A condition is true for the same rows in DuckDB and in Postgres."""
    rule = Rule("asked", condition, "test", (0, 1))
    readable, left = kept(rows, RuleBook(())), kept(rows, RuleBook((rule,)))
    with closing(psycopg2.connect(postgres.url("postgres"))) as connection, connection.cursor() as cursor:
        cursor.execute("""SET TIME ZONE 'UTC'; CREATE TEMP TABLE typed (n serial, timestamp timestamptz, country_code text,
            first_order_ts timestamptz, last_order_ts timestamptz, total_orders integer, voucher_amount numeric(12, 2),
            country_key text)""")
        if readable:
            values = [(*row.values(), country_key(row["country_code"])) for row in readable]
            execute_values(cursor, f"INSERT INTO typed ({', '.join(COLUMNS)}, country_key) VALUES %s", values)
        cursor.execute(f"SELECT coalesce({rule.condition('postgres')}, false) FROM typed ORDER BY n")
        asked = [answer for (answer,) in cursor.fetchall()]
    assert left == [row for row, dropped in zip(readable, asked, strict=True) if not dropped]
