"""What the service accepts beyond its OpenAPI document, and NDJSON, which the document can't describe. Loaded by
schemathesis in the proof `fuzz`, which would take what is accepted for a fault.
"""

import json
from typing import Any

import schemathesis

from app.voucher.schemas import NDJSON

UNKNOWN = "x-schemathesis-unknown-property"
EXPLAIN = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|1|0)$"


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Each of many customers may be anything, as each has its own answer; lines are like the elements of the array."""
    paths = raw_schema["paths"]
    array, separate = paths["/vouchers"]["post"], paths["/vouchers.ndjson"]["post"]
    customers = array["requestBody"]["content"]["application/json"]["schema"]
    customers["items"] = {"anyOf": [customers["items"], {}]}
    answers = array["responses"]["200"]["content"]["application/json"]["schema"]
    sent, answered = separate["requestBody"]["content"], separate["responses"]["200"]["content"]
    for media_type in NDJSON:
        sent[media_type] = sent[NDJSON[0]] | {"schema": {"anyOf": [customers, {}]}}
        answered[media_type] = answered[NDJSON[0]] | {"schema": answers}
    for parameter in (each for path in paths.values() for each in path.get("post", {}).get("parameters", ())):
        if parameter["name"] == "explain":
            parameter |= {"schema": {"type": "string", "pattern": EXPLAIN}, "example": "true"}


@schemathesis.serializer(*NDJSON)
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A list is one value a line; a text, such as the document's example, is sent as it stands."""
    if isinstance(value, str | bytes):
        return value.encode(errors="surrogatepass") if isinstance(value, str) else value
    values = value if isinstance(value, list) else [value]
    return "".join(f"{json.dumps(one)}\n" for one in values).encode()


@schemathesis.deserializer(*NDJSON)
def values(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """A parameter that the document doesn't name is ignored, and no fault of the request."""
    return UNKNOWN not in (case.query or {})
