"""POST /voucher: a customer in, the amount of the customer's segment out, from memory alone."""

from datetime import date
from typing import Annotated, cast

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, WithJsonSchema
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app import docs
from app.customer import BadValue, BadValuesError, Customer
from app.log import RUN_HEADER
from app.published import Published
from app.settings import MAX_BODY_BYTES
from app.snapshot import NoSegmentError, Segment, Snapshot

# The field of a request that each measure is taken from; the names of measures are those of the column `measure`.
FIELDS = {"total_orders": "total_orders", "days_since_last_order": "last_order_ts"}


class Answer(BaseModel):
    voucher_amount: Annotated[int | float, WithJsonSchema({"type": "number"})]


ANSWER: ResponseDict = {
    200: {
        "description": "The amount",
        "headers": {RUN_HEADER: {"description": "The run that was asked", "schema": {"type": "string"}}},
        "content": {
            "application/json": {
                "schema": Answer.model_json_schema(),
                "example": Answer(voucher_amount=2640).model_dump(),
            }
        },
    }
}

blueprint = APIBlueprint(
    "voucher", __name__, abp_tags=[Tag(name="Vouchers")], abp_responses=ANSWER | docs.VOUCHER_PROBLEMS
)


@blueprint.post("/segmentation-voucher/", strict_slashes=False, openapi_extensions=docs.CUSTOMER_BODY)
@blueprint.post("/voucher", strict_slashes=False, openapi_extensions=docs.CUSTOMER_BODY)
def voucher() -> Response:
    """The voucher of a customer

    The amount used most for customers of the same country in the same segment.
    `/voucher` and `/segmentation-voucher/` answer the same.
    """
    if not request.is_json:
        raise UnsupportedMediaType
    content, headers = respond(Customer.read(body()), current_app.extensions["published"])
    return Response(content, headers=headers)


def respond(customer: Customer, published: Published) -> tuple[bytes, list[tuple[str, str]]]:
    """Body and headers of a 200, for this route and for `fast`. Raises NothingPublishedError and as `decide`."""
    snapshot = published.require()
    found = f"{Answer(voucher_amount=decide(customer, snapshot).amount).model_dump_json()}\n".encode()
    return found, [
        ("Content-Type", "application/json"),
        (RUN_HEADER, snapshot.run_id),
        ("Content-Length", str(len(found))),
    ]


def body() -> bytes:
    """The request's body. Raises RequestEntityTooLarge."""
    if "wsgi.input_terminated" in request.environ:  # Werkzeug would cut a chunked body at the limit without a word
        found: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    else:
        found = request.get_data(cache=False)
    if len(found) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return found


def decide(customer: Customer, snapshot: Snapshot) -> Segment:
    """Raises UnknownKindError, BadValuesError, UnknownCountryError or NoSegmentError, in this order."""
    measure = snapshot.measure(customer.segment_name)
    if (field := FIELDS.get(measure)) is None:
        raise NoSegmentError(
            f"run {snapshot.run_id}: {customer.segment_name} measures {measure}, which the API does not know"
        )
    value = getattr(customer, field)
    if value is None:
        raise BadValuesError(BadValue(field, f"is needed: {customer.segment_name} measures it"))
    measured = days_since(value, snapshot) if measure == "days_since_last_order" else cast(int, value)
    return snapshot.find(customer.country_code, customer.segment_name, measured)


def days_since(last_order: date, snapshot: Snapshot) -> int:
    """Whole UTC days up to the reference day. A day ahead counts as 0, for local clocks; more raises BadValuesError."""
    reference = snapshot.reference_day
    days = (reference - last_order).days
    if days < -1:
        origin = "pinned by TODAY" if snapshot.today else "the current UTC day"
        detail = f"lies after the reference day {reference}, {origin}, by more than a day"
        raise BadValuesError(BadValue("last_order_ts", detail, (last_order.isoformat(),)))
    return max(days, 0)
