"""The OpenAPI documentation of /vouchers.csv."""

from typing import Any

from flask_openapi3.types import ResponseDict

from app.voucher.campaign.records import SEPARATORS
from app.voucher.openapi import EXPLAIN, FILE, RUN, RUN_PARAMETER

# With its charset, because openapi-python-client has one setting for a media type, and the tables' text/csv is a text.
CSV_FILE = "text/csv; charset=utf-8"
ANSWER_EXAMPLE = (
    "email,country_code,segment_name,total_orders,voucher_amount,problem\r\n"
    "ana@example.com,Peru,frequent_segment,15,2640,\r\n"
    "ben@example.com,Peru,frequent_segment,many,,"
    "\"total_orders 'many' must be a whole number of at least 0, without separators for thousands.\"\r\n"
)
FILE_ANSWER: ResponseDict = {
    200: {
        "description": "The lines of the file, each with an amount or a problem",
        "headers": RUN
        | {
            "Content-Length": {
                "description": "If fewer bytes arrive, the answer was cut off.",
                "schema": {"type": "integer"},
            }
        },
        "content": {CSV_FILE: {"schema": FILE, "example": ANSWER_EXAMPLE}},
    }
}


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


CUSTOMERS_FILE: dict[str, Any] = {
    "parameters": [
        _parameter("segment_name", "The segment kind of all customers, if no column has it.", {"type": "string"}),
        _parameter("country_code", "The country of all customers, if no column has it.", {"type": "string"}),
        _parameter(
            "separator",
            "The separator of the answer. Default: that of the file. Excel expects a semicolon where the decimal "
            "separator is a comma.",
            {"type": "string", "enum": [*SEPARATORS]},
        ),
        _parameter(
            "bom",
            "Whether the answer begins with a byte order mark, by which Excel knows UTF-8.",
            {"type": "boolean", "default": False},
        ),
        EXPLAIN | {"description": "Whether to add columns that explain the amount."},
        RUN_PARAMETER,
    ],
    "requestBody": {"required": True, "content": {CSV_FILE: {"schema": FILE}}},
}
