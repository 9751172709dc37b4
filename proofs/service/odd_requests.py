"""Odd and malformed requests, each with the status that it has to get.

test_odd_requests.py sends them to the app, and `make prove requests` to the running server.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

JSON = {"Content-Type": "application/json"}
FREQUENT = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
RECENCY = {"country_code": "Peru", "segment_name": "recency_segment", "last_order_ts": "2018-05-03"}
SQL = "Peru'; DROP TABLE voucher.segment; --"
HTML = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Odd:
    """A request: what is odd about it, its content, the status of the answer, and the only field that a 422 names."""

    what: str
    body: bytes
    status: int
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    wrong: str = ""


def raw(what: str, text: str | bytes, status: int, **headers: str) -> Odd:
    body = text.encode() if isinstance(text, str) else text
    return Odd(what, body, status, {name.replace("_", "-"): value for name, value in headers.items()} or JSON)


def frequent(what: str, status: int, **fields: object) -> Odd:
    return Odd(what, json.dumps(FREQUENT | fields).encode(), status)


def recency(what: str, status: int, **fields: object) -> Odd:
    return Odd(what, json.dumps(RECENCY | fields).encode(), status)


def wrong(field: str, value: object) -> Iterator[Odd]:
    """Yield requests of each kind of segment with a value that the field may not have, measured there or not."""
    for kind, customer in (("frequent", FREQUENT), ("recency", RECENCY)):
        yield Odd(f"{field} {value!r:.40}, {kind}", json.dumps(customer | {field: value}).encode(), 422, wrong=field)


WHOLE = json.dumps(FREQUENT)
FIELDS = (("country_code", 404), ("segment_name", 422), ("total_orders", 422), ("first_order_ts", 422))
NOT_TEXT: tuple[object, ...] = (
    "",
    " \t",
    "\u00a0\u2028",
    "\u200b\ufeff",
    "\u2060\ufe0f",
    5,
    True,
    ["Peru"],
    {"a": 1},
    None,
)
READ = (
    *("2018-05-03", "2018-05-03 10:30", "2018-05-03T10:30:00", "2018-05-03 10:30:00.123456789", "2018-05-03T10:30:00Z"),
    *("2018-05-03 10:30:00+00:00", "2018-05-03T10:30:00-0500", "2018-05-03T10:30:00+05", "2018-05-03T10:30:00+05:30"),
    *("2016-02-29", "1969-12-31", "0001-01-01", "0001-01-01T00:00:00-01:00"),
)
NO_ORDERS: tuple[object, ...] = ("15", "", True, False, 2.5, -1, -0.5, [1], {})
UNREAD: tuple[object, ...] = (
    *("", " ", "yesterday", "03.05.2018", "2018-5-3", "20180503", "2018-W18-4", "2018-123", "2018-05-03x10:30"),
    *("2018-13-01", "2018-02-30", "2017-02-29", "2018-05-03 25:00", "2018-05-03 10:60", "2016-12-31T23:59:60Z"),
    *(f"2018-05-03T10:30:00{zone}" for zone in ("+25:00", "+16:00", "-1660", "+05:60", " Europe/Berlin")),
    *("0000-01-01", "10000-01-01", "-0001-01-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:00:00-05:00"),
    *("\uff12\uff10\uff11\uff18-05-03", "\u0662\u0660\u0661\u0668-05-03", "2018-05-03\n", "2018-05-03\x00", "\ud800"),
    *("<b>2018</b>", "2018-05-03'; DROP TABLE voucher.run", 1525305600, 1525305600.5, True, [], {}),
)
ODD = (
    # values
    *(raw(f"orders {orders:.20}", WHOLE.replace(": 3", f": {orders}"), 200)
      for orders in ("0", "15.0", "1e1", "1e300", "9" * 4000)),
    raw("orders a number of 5,000 digits", WHOLE.replace(": 3", ": " + "9" * 5000), 400),
    *(raw(f"orders {orders}", WHOLE.replace(": 3", f": {orders}"), 422)
      for orders in ("1e400", "-1e400", "NaN", "-Infinity")),
    *(odd for orders in NO_ORDERS for odd in wrong("total_orders", orders)),
    frequent("orders null where they are measured", 422, total_orders=None),
    *(odd for name in ("country_code", "segment_name") for value in NOT_TEXT for odd in wrong(name, value)),
    # days and zones
    *(recency(f"last order {moment}", 200, last_order_ts=moment, first_order_ts=moment) for moment in READ),
    *(odd for moment in UNREAD for name in ("last_order_ts", "first_order_ts") for odd in wrong(name, moment)),
    recency("year 9999", 422, last_order_ts="9999-12-31"),
    recency("last order two days ahead", 422, last_order_ts="2100-01-01"),
    # fields
    frequent("unknown fields", 200, price=3, nested={"a": [1, 2]}),
    raw("no country", json.dumps({k: v for k, v in FREQUENT.items() if k != "country_code"}), 422),
    frequent("an unknown kind", 422, segment_name="loyalty_segment"),
    frequent("the kind in capitals", 422, segment_name="FREQUENT_SEGMENT"),
    frequent("an unknown country", 404, country_code="Atlantis"),
    frequent("the country in other case, with blanks", 200, country_code="  pERU "),
    frequent("a country of 10,000 letters", 404, country_code="x" * 10_000),
    frequent("a country with NUL", 404, country_code="Pe\x00ru"),
    raw("half a surrogate pair", WHOLE.replace("Peru", "\\ud800"), 404),
    # SQL and HTML in every field
    *(
        frequent(f"{kind} as {name}", status, **{name: text})
        for kind, text in (("SQL", SQL), ("HTML", HTML))
        for name, status in FIELDS
    ),
    frequent("HTML and SQL as customer_id, which is not used", 200, customer_id=HTML + SQL),
    raw("HTML as a field's name", json.dumps(FREQUENT | {HTML: 1}), 200),
    # JSON
    raw("no body", "", 400),
    raw("cut short", WHOLE[:-5], 400),
    *(raw(f"no object: {text}", text, 400)
      for text in ("[]", '[{"country_code": "Peru"}]', '"Peru"', '"{}"', "null", "7")),
    *(raw(f"broken: {text:.20}", text, 400)
      for text in ("{", "{'a': 1}", '{"a": 1}}', '{"a": 1,}', "[" * 60_000, '{"a":' * 10_000, "\0")),
    raw("a name twice", WHOLE[:-1] + ', "total_orders": 4}', 400),
    raw("a name twice, inside", '{"a": {"b": 1, "b": 1}}', 400),
    raw("HTML where a value should be", f'{{"country_code": {HTML}}}', 400),
    # encodings and types of content
    raw("Latin-1", '{"country_code": "Perú"}'.encode("latin-1"), 400),
    raw("half a surrogate pair as UTF-8", b'{"a": "\xed\xa0\x80"}', 400),
    raw("UTF-16", WHOLE.encode("utf-16"), 400),
    raw("a byte order mark", b"\xef\xbb\xbf" + WHOLE.encode(), 200),
    raw("two byte order marks", 2 * b"\xef\xbb\xbf" + WHOLE.encode(), 400),
    raw("said to be UTF-16", WHOLE.encode("utf-16"), 415, Content_Type="application/json; charset=utf-16"),
    raw("said to be UTF-8", WHOLE, 200, Content_Type='application/json; charset="UTF-8"'),
    raw("a form", "country_code=Peru", 415, Content_Type="application/x-www-form-urlencoded"),
    raw("text/plain", WHOLE, 415, Content_Type="text/plain"),
    raw("almost JSON", WHOLE, 415, Content_Type="application/jsonx"),
    raw("said to be gzip", WHOLE, 415, Content_Type="application/json", Content_Encoding="gzip"),
    raw("gzip", gzip.compress(WHOLE.encode()), 415, Content_Type="application/json", Content_Encoding="gzip"),
    raw("said to be br", WHOLE, 415, Content_Type="application/json", Content_Encoding="br"),
    raw("gzip of gzip", WHOLE, 415, Content_Type="application/json", Content_Encoding="gzip, gzip"),
    raw("identity", WHOLE, 200, Content_Type="application/json", Content_Encoding="Identity"),
    raw("a megabyte", WHOLE[:-1] + ', "x": "' + "x" * 1_000_000 + '"}', 413),
)  # fmt: skip
