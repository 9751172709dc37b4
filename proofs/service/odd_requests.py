"""Odd and malformed requests, each with the status that it has to get.

test_odd_requests.py sends them to the app, and `make prove requests` to the running server.
"""

import gzip
import json
from dataclasses import dataclass, field

JSON = {"Content-Type": "application/json"}
FREQUENT = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
RECENCY = {"country_code": "Peru", "segment_name": "recency_segment", "last_order_ts": "2018-05-03"}
SQL = "Peru'; DROP TABLE voucher.segment; --"
HTML = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Odd:
    """A request: what is odd about it, its content, and the status of the answer."""

    what: str
    body: bytes
    status: int
    headers: dict[str, str] = field(default_factory=lambda: JSON)


def raw(what: str, text: str | bytes, status: int, **headers: str) -> Odd:
    body = text.encode() if isinstance(text, str) else text
    return Odd(what, body, status, {name.replace("_", "-"): value for name, value in headers.items()} or JSON)


def frequent(what: str, status: int, **fields: object) -> Odd:
    return Odd(what, json.dumps(FREQUENT | fields).encode(), status)


def recency(what: str, status: int, **fields: object) -> Odd:
    return Odd(what, json.dumps(RECENCY | fields).encode(), status)


WHOLE = json.dumps(FREQUENT)
FIELDS = (("country_code", 404), ("segment_name", 422), ("total_orders", 422), ("first_order_ts", 422))
ODD = (
    # types
    frequent("orders as text", 422, total_orders="3"),
    frequent("orders true", 422, total_orders=True),
    frequent("orders null where they are measured", 422, total_orders=None),
    frequent("orders a list", 422, total_orders=[3]),
    frequent("country a number", 422, country_code=51),
    frequent("country null", 422, country_code=None),
    frequent("country an object", 422, country_code={"name": "Peru"}),
    frequent("kind a list", 422, segment_name=["frequent_segment"]),
    recency("last order a number", 422, last_order_ts=1525305600),
    recency("last order true", 422, last_order_ts=True),
    frequent("first order not readable though unused", 422, first_order_ts="long ago"),
    # bounds
    frequent("orders -1", 422, total_orders=-1),
    frequent("orders 2.5", 422, total_orders=2.5),
    frequent("orders 0", 200, total_orders=0),
    frequent("orders 15.0", 200, total_orders=15.0),
    frequent("orders a number of 4,000 digits", 200, total_orders=int("9" * 4000)),
    raw("orders a number of 5,000 digits", WHOLE.replace(": 3", ": " + "9" * 5000), 400),
    raw("orders 1e400", WHOLE.replace(": 3", ": 1e400"), 422),
    raw("orders NaN", WHOLE.replace(": 3", ": NaN"), 422),
    raw("orders -Infinity", WHOLE.replace(": 3", ": -Infinity"), 422),
    # days and zones
    recency("last order in 1969", 200, last_order_ts="1969-12-31"),
    recency("last order in year 1", 200, last_order_ts="0001-01-01"),
    recency("year 0", 422, last_order_ts="0000-01-01"),
    recency("year 10000", 422, last_order_ts="10000-01-01"),
    recency("year 9999", 422, last_order_ts="9999-12-31"),
    recency("a day before year 1 in UTC", 422, last_order_ts="0001-01-01T00:00:00+01:00"),
    recency("29 February of a leap year", 200, last_order_ts="2016-02-29"),
    recency("29 February of another", 422, last_order_ts="2017-02-29"),
    recency("a thirteenth month", 422, last_order_ts="2018-13-01"),
    recency("hour 25", 422, last_order_ts="2018-05-03T25:00:00"),
    recency("a second 60", 422, last_order_ts="2016-12-31T23:59:60Z"),
    recency("zone +05:30", 200, last_order_ts="2018-05-03T10:30:00+05:30"),
    recency("zone +25:00", 422, last_order_ts="2018-05-03T10:30:00+25:00"),
    recency("a zone's name", 422, last_order_ts="2018-05-03T10:30:00 Europe/Berlin"),
    recency("a German date", 422, last_order_ts="03.05.2018"),
    recency("Arabic digits", 422, last_order_ts="\u0662\u0660\u0661\u0668-\u0660\u0665-\u0660\u0663"),
    recency("last order two days ahead", 422, last_order_ts="2100-01-01"),
    recency("last order blank", 422, last_order_ts=" "),
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
    raw("a list", "[]", 400),
    raw("a text", '"Peru"', 400),
    raw("nested 60,000 deep", "[" * 60_000, 400),
    raw("a name twice", WHOLE[:-1] + ', "total_orders": 4}', 400),
    raw("HTML where a value should be", f'{{"country_code": {HTML}}}', 400),
    # encodings and types of content
    raw("Latin-1", '{"country_code": "Perú"}'.encode("latin-1"), 400),
    raw("UTF-16", WHOLE.encode("utf-16"), 400),
    raw("a byte order mark", b"\xef\xbb\xbf" + WHOLE.encode(), 200),
    raw("two byte order marks", 2 * b"\xef\xbb\xbf" + WHOLE.encode(), 400),
    raw("said to be UTF-16", WHOLE.encode("utf-16"), 415, Content_Type="application/json; charset=utf-16"),
    raw("said to be UTF-8", WHOLE, 200, Content_Type='application/json; charset="UTF-8"'),
    raw("a form", "country_code=Peru", 415, Content_Type="application/x-www-form-urlencoded"),
    raw("text/plain", WHOLE, 415, Content_Type="text/plain"),
    raw("said to be gzip", WHOLE, 415, Content_Type="application/json", Content_Encoding="gzip"),
    raw("gzip", gzip.compress(WHOLE.encode()), 415, Content_Type="application/json", Content_Encoding="gzip"),
    raw("said to be br", WHOLE, 415, Content_Type="application/json", Content_Encoding="br"),
    raw("gzip of gzip", WHOLE, 415, Content_Type="application/json", Content_Encoding="gzip, gzip"),
    raw("identity", WHOLE, 200, Content_Type="application/json", Content_Encoding="Identity"),
    raw("a megabyte", WHOLE[:-1] + ', "x": "' + "x" * 1_000_000 + '"}', 413),
)  # fmt: skip
