"""The OpenAPI documentation of the flag's endpoints. The protocol's own document describes them in general."""

from typing import Any

from flask_openapi3.types import ResponseDict

from app.published.snapshot import Snapshot
from app.voucher.openapi import EXPLANATION, RUN, RUN_AND_SEGMENT, header
from app.voucher.schemas import example, ref
from app.web.openapi import PROBLEMS

TEXT = {"type": "string"}
METADATA: dict[str, Any] = {
    "run": EXPLANATION.run_id,
    "country_code": EXPLANATION.country_code,
    "segment_name": EXPLANATION.segment_name,
    "segment": EXPLANATION.segment,
    "chosen_by": EXPLANATION.chosen_by,
    "propensity": EXPLANATION.propensity,
    "currency": EXPLANATION.currency,
    "because": EXPLANATION.because,
}
EVALUATION = {
    "key": "voucher",
    "value": EXPLANATION.voucher_amount,
    "reason": "TARGETING_MATCH",
    "variant": f"{EXPLANATION.segment_name} {EXPLANATION.segment}",
    "metadata": METADATA,
}
FAILURE = {
    "key": "voucher",
    "errorCode": "INVALID_CONTEXT",
    "errorDetails": "total_orders must be a whole number of at least 0, unquoted.",
}
SCHEMAS: dict[str, Any] = {
    "FlagRequest": {
        "type": "object",
        "required": ["context"],
        "properties": {"context": ref("FlagContext")},
    },
    "FlagContext": {
        "type": "object",
        "description": "The fields of a customer, as for `/voucher`, and the customer's id as `targetingKey`. A "
        "`customer_id` is ignored.",
        "required": ["targetingKey"],
        "properties": {"targetingKey": TEXT | {"description": "The customer's id."}},
        "additionalProperties": True,
    },
    "FlagEvaluation": {
        "type": "object",
        "required": ["key", "value", "reason", "variant", "metadata"],
        "properties": {
            "key": TEXT,
            "value": {"type": "number", "minimum": 0, "description": "The voucher amount."},
            "reason": TEXT
            | {
                "enum": ["TARGETING_MATCH", "DEFAULT", "SPLIT"],
                "description": "`DEFAULT` if the segment has no vouchers, and the amount is the country's; `SPLIT` if "
                "the lottery or the holdout decided.",
            },
            "variant": TEXT | {"description": "The segment kind and the segment."},
            "metadata": ref("FlagMetadata"),
        },
        "example": EVALUATION,
    },
    "FlagMetadata": {
        "type": "object",
        "description": "As in an explanation of `/voucher`. Absent if unknown: `currency`.",
        "required": [name for name in METADATA if name != "currency"],
        "properties": dict.fromkeys(METADATA, TEXT)
        | {"propensity": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}},
    },
    "FlagFailure": {
        "type": "object",
        "required": ["errorCode", "errorDetails"],
        "properties": {
            "key": TEXT,
            "errorCode": TEXT | {"enum": ["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]},
            "errorDetails": TEXT | {"description": "What is wrong, and what to do."},
        },
        "example": FAILURE,
    },
    "FlagsUnavailable": {
        "type": "object",
        "properties": {"errorDetails": TEXT},
        "example": {"errorDetails": "This is an error of the service. The log has the details."},
    },
    "Flags": {
        "type": "object",
        "required": ["flags"],
        "properties": {"flags": {"type": "array", "items": ref("FlagEvaluation", "FlagFailure")}},
        "example": {"flags": [EVALUATION]},
    },
}
ETAG = {"ETag": header("Identifies this answer", '"0123456789abcdef0123456789abcdef"')}


def _json(description: str, component: str, **more: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": ref(component)}}} | more


ERRORS: ResponseDict = {
    400: _json("The flag can't be evaluated for this context", "FlagFailure"),
    "5XX": _json("A problem with the service", "FlagsUnavailable", headers=PROBLEMS["5XX"]["headers"]),
}
FLAG: ResponseDict = {200: _json("The evaluation", "FlagEvaluation", headers=RUN_AND_SEGMENT), **ERRORS}
ALL_FLAGS: ResponseDict = {
    200: _json("The evaluation of the flag, or why there is none", "Flags", headers=RUN | ETAG),
    304: {"description": "The answer is still the one with this ETag", "headers": ETAG},
    **ERRORS,
}
FLAG_REQUEST: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": ref("FlagRequest")}}}
}
ALL_FLAGS_REQUEST: dict[str, Any] = FLAG_REQUEST | {
    "parameters": [
        {"name": "If-None-Match", "in": "header", "description": "The ETag of an earlier answer.", "schema": TEXT}
    ]
}


def describe(spec: dict[str, Any], snapshot: Snapshot | None) -> None:
    """Add the schemas to an OpenAPI document, and examples that the snapshot has an answer for."""
    spec["components"]["schemas"] |= SCHEMAS
    if snapshot is None:
        return
    customer = example(snapshot, snapshot.kinds[0].segment_name)
    context = {"targetingKey": str(customer.pop("customer_id"))} | customer
    for path, operations in spec["paths"].items():
        if path.startswith("/ofrep/"):
            operations["post"]["requestBody"]["content"]["application/json"]["example"] = {"context": context}
