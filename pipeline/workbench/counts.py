"""What the engine counts in a table of the history, as frames. `Workbench` and its parts call it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.evaluate import engine
from pipeline.evaluate.dropped import dropped_rows
from pipeline.evaluate.totals import Results, aggregate
from pipeline.rules import columns
from pipeline.rules.columns import COLUMNS, OPTIONAL
from pipeline.rules.measures import Measure
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from shared.countries import country_key

ALL = "all countries"
ANSWER, AMOUNT = ["country_code", "segment_name", "segment"], "voucher_amount"
TYPES = {"total_orders": "Int32", AMOUNT: "float64"}


def tally(history: pa.Table, rules: RuleBook, book: SegmentBook) -> pa.Table:
    """Return how many rows had each distinct outcome: see `SegmentBook.tally`."""
    with engine.open_duckdb() as within, engine.evaluate(history, rules, book, within=within) as part:
        return part.tally()


def results(history: pa.Table, rules: RuleBook, book: SegmentBook) -> Results:
    """Return what a run would publish of this history."""
    return aggregate([tally(history, rules, book)], rules, book)


def typed(history: pa.Table, book: SegmentBook) -> pd.DataFrame:
    """Return the readable rows with typed columns, in the order of the table."""
    return _kept(history, RuleBook(()), book, placed=False)[0]


def placed(history: pa.Table, rules: RuleBook, book: SegmentBook) -> pd.DataFrame:
    """Return the kept rows with typed columns and each kind's segment, in the order of the table.

    A country is spelled as in the answers, so the two can be joined.
    """
    frame, counted = _kept(history, rules, book, placed=True)
    countries = answers(aggregate([counted], rules, book)).index.unique("country_code")
    names = {country_key(country): country for country in countries}
    return frame.assign(country_code=frame["country_code"].map(lambda country: names.get(country_key(country))))


def _kept(history: pa.Table, rules: RuleBook, book: SegmentBook, placed: bool) -> tuple[pd.DataFrame, pa.Table]:
    with (
        engine.open_duckdb(in_order=True) as within,
        engine.evaluate(history, rules, book, within=within) as part,
    ):
        return part.kept(placed).read_all().to_pandas().astype(TYPES), part.tally()


def table(rows: pd.DataFrame) -> pa.Table:
    """Return typed rows as a table that the engine reads."""
    return pa.Table.from_pandas(rows, preserve_index=False)


def measured(rows: pd.DataFrame, measure: Measure) -> pd.Series:
    """Return the measure of typed rows, a whole number or missing, with the rows' index."""
    with engine.open_duckdb(in_order=True) as within, engine.session(within) as session:
        session.register("typed", table(rows))
        values = session.table("typed").project(f"CAST({measure.sql} AS BIGINT) AS value").to_arrow_table()["value"]
    return pd.Series(values.to_pandas(integer_object_nulls=True).to_numpy(), rows.index, name=measure.name).astype(
        "Int64"
    )


def answers(results: Results) -> pd.DataFrame:
    """Return each segment's answer: the columns of `Workbench.answers`."""
    frame: pd.DataFrame = results.tables["segment"].to_pandas().astype({AMOUNT: float})
    frame = frame.sort_values(["country_code", "segment_name", "position"]).set_index(ANSWER)
    return frame[[AMOUNT, "uses", "rows", "basis", "tied", "sends", "share_low", "share_high", "clear"]]


def explained(results: Results, rules: RuleBook) -> pd.DataFrame:
    """Return the effect of each rule, by rule and country: the columns of `Workbench.explain`."""
    counted: pd.DataFrame = results.tables["rule_outcome"].to_pandas()[["country_code", "rule", "matched", "dropped"]]
    total = counted.groupby("rule")[["matched", "dropped"]].sum().reindex(list(rules.bits), fill_value=0)
    total = total.reset_index(names="rule").assign(country_code=ALL)
    rows = kept_rows(results).add(counted.groupby("country_code")["dropped"].sum(), fill_value=0).astype(int)
    counted = pd.concat([counted.sort_values("country_code"), total])
    rows[ALL] = results.rows_in
    order = {rule.name: position for position, rule in enumerate(rules.all_rules)}
    counted = counted.sort_values("rule", key=lambda names: names.map(order), kind="stable")
    counted["left"] = counted["country_code"].map(rows) - counted.groupby("country_code")["dropped"].cumsum()
    counted["share"] = counted["matched"] / counted["country_code"].map(rows)
    return counted.set_index(["rule", "country_code"]).loc[[rule.name for rule in rules.rules]]


def in_bands(results: Results, rules: RuleBook) -> pd.DataFrame:
    """Return each reason's matches as a share of all rows, its band, and whether the share is inside."""
    matched = results.tables["rule_outcome"].to_pandas().groupby("rule")["matched"].sum()
    matched = matched.reindex(list(rules.bits), fill_value=0)
    lines = [(rule.name, int(matched[rule.name]), *rule.share) for rule in rules.all_rules]
    table = pd.DataFrame(lines, columns=["rule", "matched", "lowest", "highest"]).set_index("rule")
    table.insert(1, "share", table["matched"] / (results.rows_in or np.nan))  # an empty history has no shares
    return table.assign(inside=table["share"].between(table["lowest"], table["highest"]))


def overlaps(tally: pa.Table, rules: RuleBook) -> pd.DataFrame:
    """Return how many rows match both the line's and the column's rule; on the diagonal, that one rule."""
    names, bits, counted = [rule.name for rule in rules.rules], rules.bits, tally.to_pandas()

    def rows(pair: int) -> int:
        return int(counted.loc[counted["matched"] & pair == pair, "rows"].sum())

    return pd.DataFrame({one: [rows(bits[one] | bits[other]) for other in names] for one in names}, index=names)


def changed(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of two `Workbench.answers` whose amounts differ, side by side."""
    both = pd.merge(before, after, how="outer", left_index=True, right_index=True, suffixes=("_before", "_after"))
    differ = both["voucher_amount_before"].ne(both["voucher_amount_after"])
    names = [f"{column}_{when}" for column in ("voucher_amount", "uses", "rows") for when in ("before", "after")]
    return both.loc[differ, names]


def in_country(frame: pd.DataFrame, country: str, segments: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Return the lines of a country for these kinds and labels, in their order; missing values where it has none."""
    own = frame[frame.index.get_level_values("country_code") == country].droplevel("country_code")
    return own.reindex(pd.MultiIndex.from_tuples(segments, names=own.index.names))


def countries(results: Results) -> list[str]:
    """Return the countries of all rows, also of those that no rule keeps, as the answers spell them."""
    return sorted({*results.tables["rule_outcome"]["country_code"].to_pylist()} - {""})


def dropped(history: pa.Table, rules: RuleBook, rule: str, country: str | None) -> pd.DataFrame:
    """Return the rows that a rule dropped, as texts: see `evaluate.dropped`. Optional columns only if they are there.

    Raises RuleError.
    """
    with engine.open_duckdb(in_order=True) as within:
        batches = [*dropped_rows(history, rules, rule, within=within, country=country)]
    rows = pa.Table.from_batches(batches, pa.schema([(name, pa.string()) for name in columns.ALL]))
    frame: pd.DataFrame = rows.select([*COLUMNS, *(n for n in OPTIONAL if n in history.column_names)]).to_pandas()
    return frame


def kept_rows(results: Results) -> pd.Series:
    """Return the kept rows by country: those that voted and those that couldn't, in any one kind."""
    votes, unplaced = results.tables["segment_vote"].to_pandas(), results.tables["unplaced"].to_pandas()
    kind = unplaced["segment_name"].iloc[0] if len(unplaced) else ""
    voted = votes[votes["segment_name"] == kind].groupby("country_code")["uses"].sum()
    rows: pd.Series = voted.add(
        unplaced[unplaced["segment_name"] == kind].set_index("country_code")["rows"], fill_value=0
    )
    return rows
