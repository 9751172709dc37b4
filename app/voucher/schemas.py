"""Complete the OpenAPI document from the published run: a customer schema for each segment kind, and examples."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.published.segment import Kind
from app.published.snapshot import Snapshot
from app.voucher.customer import FIELDS, REQUIRED
from app.voucher.explanation import Answer, Explanation
from app.web.openapi import COMPONENTS

NDJSON = ("application/x-ndjson", "application/jsonl")  # neither is registered; both are common


def describe(spec: dict[str, Any], snapshot: Snapshot | None) -> None:
    """Add the schemas and examples of customers to an OpenAPI document. Without a snapshot there are no examples."""
    answers = {model.__name__: model.model_json_schema() for model in (Answer, Explanation)}
    spec["components"]["schemas"] |= answers | customers(snapshot)
    if snapshot is None:
        return
    _show_parameters(spec, snapshot)
    examples = {kind.segment_name: example(snapshot, kind.segment_name) for kind in snapshot.kinds}
    for path in ("/voucher", "/segmentation-voucher/"):
        body = spec["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        body["examples"] = {kind: {"value": customer} for kind, customer in examples.items()}
    many = [*examples.values()]
    for path, written in (("/vouchers", many), ("/vouchers.ndjson", lines(many)), ("/vouchers.csv", csv_file(many))):
        (content,) = spec["paths"][path]["post"]["requestBody"]["content"].values()
        content["example"] = written


def _show_parameters(spec: dict[str, Any], snapshot: Snapshot) -> None:
    """Add examples to the parameters. Swagger sends them unchanged, so they are values of this run."""
    examples = {"run": snapshot.run_id, "run_id": snapshot.run_id, "before": snapshot.run_id}
    if snapshot.countries:
        examples["country"] = snapshot.countries[0]
    for operations in spec["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in examples:
                    parameter["example"] = examples[parameter["name"]]


def customers(snapshot: Snapshot | None) -> dict[str, Any]:
    """Return the customer schemas by name: one per segment kind, and `Customer`, which is any of them."""
    if snapshot is None:
        return {"Customer": _customer(None)}
    kinds = {kind.segment_name: f"{COMPONENTS}/{_name(kind)}" for kind in snapshot.kinds}
    return {
        "Customer": {
            "oneOf": [{"$ref": component} for component in kinds.values()],
            "discriminator": {"propertyName": "segment_name", "mapping": kinds},
        },
        **{_name(kind): _customer(kind) for kind in snapshot.kinds},
    }


def _name(kind: Kind) -> str:
    return f"{kind.segment_name.removesuffix('_segment').title().replace('_', '')}Customer"


def _customer(kind: Kind | None) -> dict[str, Any]:
    needed = [*REQUIRED, kind.field] if kind else [*REQUIRED]
    properties: dict[str, Any] = {
        "customer_id": {
            "description": "Text or a number. If the run has a lottery, the same id always draws the same amount."
        }
    }
    for name, (_, schema) in FIELDS.items():
        properties[name] = dict(schema) if name in needed else schema | {"type": [schema["type"], "null"]}
    if kind:
        properties["segment_name"] = {"type": "string", "const": kind.segment_name, "description": kind.title}
    return {"type": "object", "properties": properties, "required": needed}


def example(snapshot: Snapshot, segment_name: str) -> dict[str, object]:
    """Return a customer that the snapshot has an answer for."""
    day = snapshot.reference_day
    return {
        "customer_id": 123,
        "country_code": snapshot.countries[0],
        "last_order_ts": f"{day - timedelta(days=30)} 00:00:00",
        "first_order_ts": f"{day - timedelta(days=365)} 00:00:00",
        "total_orders": 15,
        "segment_name": segment_name,
    }


def ref(*components: str) -> dict[str, Any]:
    """Return a schema that accepts any of these components.

    Clients take the first match, so put those with more fields first.
    """
    refs = [{"$ref": f"{COMPONENTS}/{component}"} for component in components]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def lines(values: list[Any]) -> str:
    """Return the values as NDJSON."""
    return "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values)


def csv_file(values: Sequence[Mapping[str, object]]) -> str:
    """Return the values as CSV. All must have the same names."""
    written = io.StringIO()
    writer = csv.DictWriter(written, values[0])
    writer.writeheader()
    writer.writerows(values)
    return written.getvalue()
