"""Check the SQL conditions of rules: an allow-list over sqlglot's tree, with a kind for each expression.

Called by `rulebook` whenever a rule is created, so on every load and save. Everything on the list means the same in
DuckDB and in Postgres.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from difflib import get_close_matches
from functools import lru_cache

import sqlglot
from sqlglot import exp

from pipeline import PipelineError
from pipeline.rules.measures import MEASURES
from shared.countries import country_key

# The six typed columns and the measures, and what kind of value each holds.
KINDS = {
    "timestamp": "time",
    "country_code": "text",
    "first_order_ts": "time",
    "last_order_ts": "time",
    "total_orders": "number",
    "voucher_amount": "number",
    **dict.fromkeys(MEASURES, "number"),
}
LONGEST = 1000
UNITS = {"SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"}
ORDERED = {"number", "time", "day", "interval"}


class ConditionError(PipelineError):
    """A condition that isn't on the allow-list."""


def parse(condition: str) -> exp.Expr:
    """Return the checked tree of a condition.

    Raises ConditionError with the column or expression, its position (in characters, from 1) and the remedy.
    """
    if len(condition) > LONGEST:
        raise ConditionError(f"the condition has {len(condition):,} characters; at most {LONGEST:,} are read")
    try:
        tree = sqlglot.parse_one(condition, dialect="duckdb")
        if (found := _kind(tree)) != "boolean":
            raise _refused(tree, f"is a {found}, not a condition that is true or false; compare it with something")
    except sqlglot.errors.ParseError as error:
        position = error.errors[0].get("col") if error.errors else None
        at = f" at character {position}" if position else ""
        raise ConditionError(f"the condition {condition!r} is not SQL{at}; e.g. total_orders < 5") from None
    except (sqlglot.errors.SqlglotError, RecursionError):
        raise ConditionError(f"the condition {condition[:60]!r} can't be read as SQL; e.g. total_orders < 5") from None
    return tree


@lru_cache(maxsize=1000)
def sql(condition: str, dialect: str) -> str:
    """Return the checked condition as SQL over the six typed columns and `country_key`, instead of `country_code`.

    Countries are compared by their keys: a rule means every spelling of a country, as a request does. Raises
    ConditionError.
    """
    return parse(condition).transform(_key).sql(dialect, comments=False)


def countries(condition: str) -> list[str]:
    """Return the countries that a condition names, as it spells them. Raises ConditionError."""
    return list(dict.fromkeys(node.this for node in parse(condition).find_all(exp.Literal) if _is_country(node)))


def _is_country(node: exp.Expr) -> bool:
    """Return whether the node is the name of a country: a text that is neither a date nor an interval."""
    is_text = isinstance(node, exp.Literal) and node.is_string
    return is_text and not isinstance(node.parent, (exp.Cast, exp.Interval))


def _key(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Column) and node.name == "country_code":
        return exp.column("country_key")
    return exp.Literal.string(country_key(node.this)) if _is_country(node) else node


def _refused(node: exp.Expr, why: str) -> ConditionError:
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    at = f" at character {min(starts) + 1}" if starts else ""
    return ConditionError(f"{node.sql('duckdb', comments=False)[:60]!r}{at} {why}")


def _kind(node: exp.Expr) -> str:
    """Return the kind of value that an allowed expression has. Raises ConditionError for one that isn't allowed."""
    for allowed, (arguments, kind_of) in ALLOWED.items():
        if type(node) in allowed and {name for name, value in node.args.items() if value} <= arguments:
            return kind_of(node)
    raise _refused(
        node,
        "is not allowed in a rule; use the six columns, the measures, literals, comparisons, AND, OR, NOT, IS NULL, "
        "BETWEEN, IN, CAST(… AS DATE), DATE '…', TIMESTAMP '…' and adding or subtracting an INTERVAL",
    )


def _column(node: exp.Expr) -> str:
    if node.name not in KINDS:
        near = get_close_matches(node.name.lower(), KINDS, n=1)
        raise _refused(
            node, f"is not a column; did you mean {near[0]}?" if near else f"is not among {', '.join(KINDS)}"
        )
    return KINDS[node.name]


def _logic(node: exp.Expr) -> str:
    for side in node.iter_expressions():
        if _kind(side) != "boolean":
            raise _refused(side, "stands where something true or false is needed")
    return "boolean"


def _is(node: exp.Expr) -> str:
    _kind(node.this)
    if not isinstance(node.expression, exp.Null):
        raise _refused(node, "is not allowed in a rule; IS compares with NULL only")
    return "boolean"


def _compared(node: exp.Expr) -> str:
    first, *others = node.iter_expressions()
    left = _kind(first)
    for other in others:
        right = _kind(other)
        if left != right and {left, right} != {"time", "day"}:
            way_out = (
                "write dates as DATE '2020-05-01'" if {"time", "day"} & {left, right} else "compare like with like"
            )
            raise _refused(node, f"compares a {left} with a {right}; {way_out}")
        if left not in ORDERED and not isinstance(node, (exp.EQ, exp.NEQ, exp.In)):
            raise _refused(node, f"orders a {left}, which engines do differently; use = or IN")
    return "boolean"


def _cast(node: exp.Expr) -> str:
    to, value = node.args["to"].this.name, node.this
    if _kind(value) == "time" and to == "DATE":
        return "day"
    readers: dict[str, Callable[[str], object]] = {
        "DATE": date.fromisoformat,
        "TIMESTAMP": datetime.fromisoformat,
        "TIMESTAMPNTZ": datetime.fromisoformat,
        "TIMESTAMPTZ": datetime.fromisoformat,
    }
    if not isinstance(value, exp.Literal) or to not in readers:
        raise _refused(node, "is not allowed in a rule; only a time is cast, to DATE")
    try:
        readers[to](value.this)
    except ValueError:
        raise _refused(node, "is not a date; e.g. DATE '2020-05-01'") from None
    return "day" if to == "DATE" else "time"


def _interval(node: exp.Expr) -> str:
    amount = node.this.name if isinstance(node.this, exp.Literal) else ""
    if not re.fullmatch(r"\d{1,4}", amount) or node.args["unit"].name.upper().removesuffix("S") not in UNITS:
        raise _refused(node, "is not an interval of a rule; e.g. INTERVAL '30' DAY")
    return "interval"


def _moved(node: exp.Expr) -> str:
    sides = _kind(node.this), _kind(node.expression)
    if sides[0] in {"time", "day"} and sides[1] == "interval":
        return "time"
    if isinstance(node, exp.Sub) and sides in {("time", "time"), ("day", "day")}:
        return "interval" if sides[0] == "time" else "number"
    raise _refused(node, "is not allowed in a rule; only dates and intervals are added and subtracted")


ALLOWED: dict[tuple[type[exp.Expr], ...], tuple[set[str], Callable[[exp.Expr], str]]] = {
    (exp.Column,): ({"this"}, _column),
    (exp.Literal,): ({"this", "is_string"}, lambda node: "text" if node.is_string else "number"),
    (exp.Boolean,): ({"this"}, _logic),
    (exp.Neg,): ({"this"}, lambda node: _number(node.this)),
    (exp.Paren,): ({"this"}, lambda node: _kind(node.this)),
    (exp.And, exp.Or, exp.Not): ({"this", "expression"}, _logic),
    (exp.Is,): ({"this", "expression"}, _is),
    (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE): ({"this", "expression"}, _compared),
    (exp.Between,): ({"this", "low", "high"}, _compared),
    (exp.In,): ({"this", "expressions"}, _compared),
    (exp.Cast,): ({"this", "to"}, _cast),
    (exp.Interval,): ({"this", "unit"}, _interval),
    (exp.Add, exp.Sub): ({"this", "expression"}, _moved),
}


def _number(node: exp.Expr) -> str:
    if _kind(node) != "number" or not isinstance(node, exp.Literal):
        raise _refused(node, "is not a number that can be negative")
    return "number"
