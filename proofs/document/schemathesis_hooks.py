"""What the service accepts beyond its OpenAPI document, and NDJSON and CSV, which the document can't describe.

schemathesis loads this module in the proof `fuzz`. Without it, schemathesis would report these requests as errors.
"""

import csv
import io
import json
from typing import Any

import schemathesis

from app.voucher.campaign.openapi import CSV_FILE
from app.voucher.schemas import NDJSON

UNKNOWN = "x-schemathesis-unknown-property"
EXPLAIN = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|1|0)$"


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Allow anything as one of many customers, as each gets its own answer. A line is like an element of the array."""
    paths = raw_schema["paths"]
    array, separate = paths["/vouchers"]["post"], paths["/vouchers.ndjson"]["post"]
    customers = array["requestBody"]["content"]["application/json"]["schema"]
    customers["items"] = {"anyOf": [customers["items"], {}]}
    answers = array["responses"]["200"]["content"]["application/json"]["schema"]
    sent, answered = separate["requestBody"]["content"], separate["responses"]["200"]["content"]
    for media_type in NDJSON:
        sent[media_type] = sent[NDJSON[0]] | {"schema": {"anyOf": [customers, {}]}}
        answered[media_type] = answered[NDJSON[0]] | {"schema": answers}
    file = paths["/vouchers.csv"]["post"]["requestBody"]["content"][CSV_FILE]
    file["schema"] = {"anyOf": [{"type": "array", "items": {"$ref": "#/components/schemas/Customer"}}, {}]}
    for parameter in (each for path in paths.values() for each in path.get("post", {}).get("parameters", ())):
        if parameter["name"] == "explain":
            parameter |= {"schema": {"type": "string", "pattern": EXPLAIN}, "example": "true"}


@schemathesis.serializer(*NDJSON)
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Write each value of a list on a line. A text, such as the document's example, is sent unchanged."""
    if isinstance(value, str | bytes):
        return value.encode(errors="surrogatepass") if isinstance(value, str) else value
    values = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(one)}\n" for one in values).encode()


@schemathesis.serializer(CSV_FILE)
def file(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Write each object of a list on a line, and the names of all in the first. A text is sent unchanged."""
    if isinstance(value, str | bytes):
        return value.encode(errors="surrogatepass") if isinstance(value, str) else value
    rows = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    written = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(written, names)
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode(errors="surrogatepass")


@schemathesis.deserializer(*NDJSON)
def values(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """Drop cases with an unknown parameter: the service ignores it."""
    return UNKNOWN not in (case.query or {})
