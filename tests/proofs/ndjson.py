"""What schemathesis has to know of NDJSON, for which OpenAPI 3.1 has no words. Loaded by it, in the proof `fuzz`."""

import json
from typing import Any

import schemathesis

from app.schemas import NDJSON


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Lines are like the elements of the JSON array; those of a request may be anything, as each has its own answer."""
    vouchers = raw_schema["paths"]["/vouchers"]["post"]
    sent, answered = vouchers["requestBody"]["content"], vouchers["responses"]["200"]["content"]
    for media_type in NDJSON:
        sent[media_type]["schema"] = {"anyOf": [sent["application/json"]["schema"], {}]}
        answered[media_type]["schema"] = answered["application/json"]["schema"]


@schemathesis.serializer(*NDJSON)
def lines(context: schemathesis.SerializationContext, value: Any) -> dict[str, Any]:
    """A list is one value a line; a text, such as the document's example, is sent as it stands."""
    if isinstance(value, str | bytes):
        return {"data": value.encode(errors="surrogatepass") if isinstance(value, str) else value}
    values = value if isinstance(value, list) else [value]
    return {"data": "".join(f"{json.dumps(one)}\n" for one in values).encode()}


@schemathesis.deserializer(*NDJSON)
def values(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]
