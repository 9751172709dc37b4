"""The OpenAPI documentation of /voucher and /vouchers, without the customer's schema, which depends on the run."""

from datetime import UTC, date, datetime
from typing import Any

from flask import Response, request
from flask_openapi3.types import ResponseDict

from app.voucher.explanation import Answer, Explanation
from app.voucher.parameters import RUN_ID, SHORT
from app.voucher.schemas import NDJSON, lines, ref
from app.web import problems
from app.web.request_log import RUN_HEADER

SEGMENT_HEADER = "Voucher-Segment"  # kind and segment
CHOSEN_BY_HEADER = "Voucher-Chosen-By"
PROPENSITY_HEADER = "Voucher-Propensity"
STATUS_HEADER = "Voucher-Run-Status"  # only if the request names a run
OLD_PATH = "/segmentation-voucher/"
DEPRECATED = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp())  # when OLD_PATH was deprecated

NO_CUSTOMERS = (
    f"Send a JSON array with the header Content-Type: application/json, NDJSON with {' or '.join(NDJSON)}, or CSV with "
    "text/csv."
)

AMOUNT = Answer(voucher_amount=2640)
EXPLANATION = Explanation(
    voucher_amount=2640,
    because="27 orders, so segment 10-29: 2640 was used in 4,401 of 7,256 vouchers, 61 %, "
    "give or take 3 points over 30 sends.",
    country_code="Peru",
    segment_name="frequent_segment",
    segment="10-29",
    position=1,
    lower_bound=10,
    upper_bound=29,
    measure="total_orders",
    measured=27,
    reference_day=date(2018, 7, 15),
    uses=4401,
    rows=7256,
    share=0.6065,
    runner_up_amount=3520,
    runner_up_uses=1790,
    basis="segment",
    tied=False,
    sends=30,
    share_low=0.5741,
    share_high=0.6389,
    clear=True,
    title="occasional customers",
    kind_title="Number of orders",
    mean_amount=2915.38,
    currency="PEN",
    currency_basis="country",
    chosen_by="table",
    propensity=1,
    table_amount=2640,
    evidence=None,
    redeemed=None,
    redeemed_low=None,
    redeemed_high=None,
    run_id="0123456789abcdef",
    run_status="current",
    published_at=datetime(2018, 7, 15, 4, 30, tzinfo=UTC),
    checked_at=datetime(2018, 7, 15, 4, 30, tzinfo=UTC),
    data_to=datetime(2018, 7, 14, 21, tzinfo=UTC),
    data_age_days=0.3,
)


def header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


RUN = {
    RUN_HEADER: header("The run that was read", EXPLANATION.run_id),
    STATUS_HEADER: header(
        "If `run` is given, what that run is: current, published (before), withdrawn, rejected or planned", "withdrawn"
    ),
}
RUN_AND_SEGMENT = RUN | {
    SEGMENT_HEADER: header("The segment kind and the segment", "frequent_segment 10-29"),
    CHOSEN_BY_HEADER: header("How the amount came about: table, lottery or holdout", "table"),
    PROPENSITY_HEADER: header("How likely a customer of the segment gets this amount", "1"),
}
DEPRECATION = {"Deprecation": header("Since when this path is deprecated (RFC 9745)", f"@{DEPRECATED}")}
VOUCHER: dict[str, Any] = {
    "description": "The amount; with `explain=true`, also the evidence",
    "headers": RUN_AND_SEGMENT,
    "content": {
        "application/json": {
            "schema": ref("Explanation", "Answer"),
            "examples": {
                "amount": {"value": AMOUNT.model_dump(mode="json")},
                "explained": {"value": EXPLANATION.model_dump(mode="json")},
            },
        }
    },
}
VOUCHER_ANSWER: ResponseDict = {200: VOUCHER}
OLD_VOUCHER_ANSWER: ResponseDict = {200: VOUCHER | {"headers": RUN_AND_SEGMENT | DEPRECATION}}
ANSWERS = [AMOUNT.model_dump(mode="json"), problems.EXAMPLE]
VOUCHERS_ANSWER: ResponseDict = {
    200: {
        "description": "An answer or a problem for each customer",
        "headers": RUN,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": ref("Explanation", "Answer", "Problem")},
                "example": ANSWERS,
            },
        },
    }
}
FILE = {"type": "string", "format": "binary"}  # generated clients would quote a plain string
LINES_ANSWER: ResponseDict = {
    200: {
        "description": "One line per customer: an answer or a problem",
        "headers": RUN,
        "content": {NDJSON[0]: {"schema": FILE, "example": lines(ANSWERS)}},
    }
}
EXPLAIN = {
    "name": "explain",
    "in": "query",
    "description": "Whether to explain the amount. `1`, `0`, and any case of `true` and `false` are accepted too.",
    "schema": {"type": "boolean", "default": False},
    "example": True,
}
RUN_PARAMETER = {
    "name": "run",
    "in": "query",
    "description": f"{SHORT} The answer is that of this run, which may be planned, withdrawn or rejected. 409 if it is "
    "not loaded yet, 410 if it has no answers. Default: the published run.",
    "schema": {"type": "string", "pattern": f"^{RUN_ID.pattern}$"},
}
CUSTOMER: dict[str, Any] = {
    "parameters": [EXPLAIN, RUN_PARAMETER],
    "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Customer")}}},
}
CUSTOMERS: dict[str, Any] = {
    "parameters": [EXPLAIN, RUN_PARAMETER],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "array", "items": ref("Customer")}}},
    },
}
LINES: dict[str, Any] = {
    "parameters": [EXPLAIN, RUN_PARAMETER],
    "requestBody": {
        "required": True,
        "content": {NDJSON[0]: {"schema": FILE}},
    },
}


def mark_deprecated(response: Response) -> Response:
    """Add the Deprecation header to every response of the old path."""
    if request.path.startswith(OLD_PATH.rstrip("/")):
        response.headers["Deprecation"] = f"@{DEPRECATED}"
    return response
