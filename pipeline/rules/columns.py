"""Read the columns of a history: which types they may have in a file, and SQL that turns each text into a typed value.

Called by `rulebook`, `evaluate` and `workbench`. `shared.countries` reads country names, in Python, so that they match
in files as they do in requests; a part has few different ones.
"""

import re
from collections.abc import Iterable, Mapping

from shared.countries import BLANK, country_key, country_name, is_readable
from shared.times import OFFSET

COLUMNS = ("timestamp", "country_code", "first_order_ts", "last_order_ts", "total_orders", "voucher_amount")
OPTIONAL = ("redeemed", "propensity", "cluster")  # the outcome; a part that lacks one has no value in it
ALL = (*COLUMNS, *OPTIONAL)
LEAST_PROPENSITY = 1e-9  # so that sums of 1 / propensity ** 2 over a trillion rows are exact (see `segments`)

# How a text is read: what it must look like in full, of which the parentheses that capture are cast, and the type.
# DuckDB's TRY_CAST alone would read '12.5' as 13, '1e3' as 1000 and 'infinity' as a time, in silence. Zero may have a
# minus sign: floating-point numbers do.
TIME = (
    rf"([1-9]\d{{3}}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?: ?(?:Z|UTC|{OFFSET}))?)?)",
    "TIMESTAMPTZ",
)
READERS = {
    "timestamp": TIME,
    "first_order_ts": TIME,
    "last_order_ts": TIME,
    "total_orders": (r"(-?0+|\d+)(?:\.0*)?", "INTEGER"),
    "voucher_amount": (r"(-?0+(?:\.0*)?|\d+(?:\.\d{1,2}0*)?)", "DECIMAL(12, 2)"),
    "redeemed": (r"([01](?:\.0*)?|(?i:true|false))", "BOOLEAN"),
    "propensity": (r"(\d+(?:\.\d*)?(?:[eE]-?\d{1,3})?)", "DOUBLE"),
}
BEHIND = "TIMESTAMPTZ '10000-01-01 00:00:00+00'"  # Python has no later year than 9999

# What stands for a missing value, as blank text does: what pandas makes of it in a column of numbers or times. "None",
# "null" and "<NA>" don't: each is one program's word, and may be somebody's mistake.
MISSING = "nan|NaN"
MISSING_TIME = "nan|NaN|NaT"

UNREADABLE = "\0"  # in place of a country's name

# Types of DuckDB whose values have one text each, with few exceptions (see `_text`).
NAMES = {"VARCHAR", "BLOB", '"NULL"'} | {
    f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")
}
NAMES |= {"INTEGER", "UINTEGER"}
LONG_TIMES = {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS"}  # which go beyond year 9999
VALUES = NAMES | LONG_TIMES | {"TIMESTAMP_NS", "TIMESTAMPTZ_NS", "DATE", "FLOAT", "DOUBLE", "DECIMAL"}
TYPES = dict.fromkeys(ALL, VALUES) | {
    "country_code": NAMES,
    "redeemed": VALUES | {"BOOLEAN"},
    "cluster": VALUES | {"UUID"},
}
MEANINGS = dict.fromkeys(ALL, "number") | {"country_code": "country", "redeemed": "yes or no", "cluster": "text"}


def missing_columns(columns: Iterable[str], uri: str = "") -> str:
    """Return which columns are missing in a part with these columns, and what to do; '' if it has all six.

    Names that aren't plain ASCII words are quoted, because a blank or a byte order mark is invisible otherwise. `uri`
    tells whether a Hive partition has the column in a folder's name.
    """
    there = list(columns)
    missing = [column for column in COLUMNS if column not in there]
    if not missing:
        return ""
    is_missing = "column {} is missing" if len(missing) == 1 else "columns {} are missing"
    has = ", ".join(name if re.fullmatch(r"\w+", name, re.ASCII) else repr(name) for name in there)
    in_path = [column for column in missing if f"/{column}=" in uri]
    hint = f" (only the folder's name has {', '.join(in_path)}, which is not read)" if in_path else ""
    return f"{is_missing.format(', '.join(missing))}; it has {has or 'none'}{hint}. Write it with all six"


def unusable(types: Mapping[str, str]) -> str:
    """Return which column can't be read, given the DuckDB type of each, and what to do; '' if all can be."""
    for column in ALL:
        kind = types.get(column, '"NULL"')
        if kind.partition("(")[0] not in TYPES[column]:
            meaning = "time" if READERS.get(column) == TIME else MEANINGS[column]
            return f"column {column} has the type {kind[:80]}, of which no {meaning} can be read. Write it as text"
    return ""


def texts(types: Mapping[str, str]) -> str:
    """Return a SELECT list of the columns as text, given the DuckDB type of each; NULL for one that isn't there."""
    return ", ".join(f"{_text(column, types[column]) if column in types else 'NULL'} AS {column}" for column in ALL)


def _text(column: str, kind: str) -> str:
    """Return SQL for the column's text.

    Older writers don't mark text as such, so bytes are read as UTF-8; bytes that aren't become a text with a NUL, which
    is unreadable in any column. Casting a time too far away to text would break the whole DuckDB, even in a branch that
    isn't taken, if the file's statistics say that each row has this time.
    """
    text = f"CAST({column} AS VARCHAR)"
    if kind == "BLOB":
        return f"coalesce(TRY(decode({column})), chr(0) || {text})"
    if kind in LONG_TIMES:
        first, behind = (f"CAST('{day}' AS {kind})" for day in ("0001-01-01", "10000-01-01"))
        text = f"CAST(least(greatest({column}, {first}), {behind}) AS VARCHAR)"
        return (
            f"CASE WHEN {column} < {first} THEN 'before the year 1'"
            f" WHEN {column} >= {behind} THEN 'after the year 9999' WHEN {column} IS NOT NULL THEN {text} END"
        )
    return text


def country_names(found: Iterable[str]) -> dict[str, str]:
    """Return the name of each text of a part's countries: '' if it is blank, UNREADABLE if it can't be read."""
    return {text: country_name(text) if is_readable(text) else UNREADABLE for text in found}


def country_variables(names: Mapping[str, str], keys: bool) -> dict[str, dict[str, str]]:
    """Return the values of the DuckDB variables, both maps.

    country_names has the texts that differ from their names; country_keys those of countries, if a rule needs the
    `keys`.
    """
    countries = {text: name for text, name in names.items() if name not in {"", UNREADABLE}} if keys else {}
    return {
        "country_names": {text: name for text, name in names.items() if name != text or name == UNREADABLE},
        "country_keys": {text: country_key(name) for text, name in countries.items()},
    }


COUNTRY_KEY = "getvariable('country_keys')[country_code_text] AS country_key"
MOMENT = "timestamp_moment"


def cut(column: str) -> str:
    """Return SQL for the part of a column's text that is cast; NULL if the text is blank or can't be read.

    One pass over a text trims, checks and cuts it. DuckDB does it once for each text of a Parquet dictionary.
    """
    if column == "country_code":
        name = "coalesce(getvariable('country_names')[country_code_text], country_code_text)"
        return f"nullif(nullif({name}, ''), chr(0)) AS {column}_cut"
    if column == "cluster":
        return f"CASE WHEN NOT {_is_blank(column)} THEN {_trimmed(column)} END AS {column}_cut"
    found = rf"nullif(regexp_extract({column}_text, '^[{BLANK}]*{READERS[column][0]}[{BLANK}]*$', 1, 's'), '')"
    return f"{f'CASE WHEN {MOMENT} IS NULL THEN {found} END' if column == 'timestamp' else found} AS {column}_cut"


def typed(column: str) -> str:
    """Return SQL for the typed value of what `cut` returned."""
    value = f"{column}_cut"
    if column == "cluster":  # only whether two are the same matters, so its text, which may name a person, isn't kept
        value = f"CASE WHEN NOT contains({value}, chr(0)) THEN md5_number_lower({value}) END"
    elif column == "redeemed":
        value = f"TRY_CAST(left({value}, 1) AS BOOLEAN)"
    elif column != "country_code":
        value = f"TRY_CAST({value} AS {READERS[column][1]})"
    if READERS.get(column) == TIME:
        # DuckDB reads zones like "+00:00", " UTC" and "Z" at once, and " +00:00", "UTC" and " Z" not at all.
        again = rf"regexp_replace(replace({column}_cut, 'UTC', 'Z'), ' ([Z+-])', '\1')"
        value = f"nullif(least(coalesce({value}, TRY_CAST({again} AS TIMESTAMPTZ)), {BEHIND}), {BEHIND})"
    if column == "propensity":
        value = f"CASE WHEN {value} BETWEEN {LEAST_PROPENSITY} AND 1 THEN {value} END"
    if column == "timestamp":
        value = f"CASE WHEN {MOMENT} IS NULL THEN {value} ELSE {MOMENT} END"
    return f"{value} AS {column}"


def moment() -> str:
    """Return SQL for the time of a timestamp's text in one of two common forms, NULL for others.

    It takes half the time of `cut` and `typed`. A dictionary doesn't help with `timestamp`, where nearly every value is
    different. With two blanks, strptime would read an hour of one digit.
    """
    text, form = "timestamp_text", "%Y-%m-%d %H:%M:%S.%f"
    read = f"make_timestamptz(epoch_us(try_strptime({text}, '{form}')))"
    zoned = f"make_timestamptz(epoch_us(try_strptime({text}, '{form}+00:00')))"
    plain = f"{text} >= '1000' AND NOT contains({text}, '  ')"
    return f"CASE WHEN {plain} THEN CASE strlen({text}) WHEN 26 THEN {read} WHEN 32 THEN {zoned} END END AS {MOMENT}"


def unreadable(column: str) -> str:
    """Return SQL for whether the column has a text that is not blank and can't be read."""
    if column == "country_code":
        return f"coalesce(getvariable('country_names')[country_code_text] = chr(0), false) AS unreadable_{column}"
    blank = _is_blank(column)
    return f"CASE WHEN {column} IS NULL THEN coalesce(NOT {blank}, false) ELSE false END AS unreadable_{column}"


def _is_blank(column: str) -> str:
    missing = MISSING_TIME if READERS.get(column) == TIME else MISSING
    return f"regexp_full_match({column}_text, '[{BLANK}]*({missing})?[{BLANK}]*')"


def trimmed(column: str) -> str:
    """Return SQL for the text as it is shown to people."""
    return f"nullif({_trimmed(column)}, '')"


def _trimmed(column: str) -> str:
    return f"regexp_replace({column}_text, '^[{BLANK}]+|[{BLANK}]+$', '', 'g')"
