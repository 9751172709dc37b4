"""POST /voucher: answer a customer from memory with the amount of the customer's segment."""

from codecs import BOM_UTF8
from datetime import date
from typing import cast

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.errors import BadValue, BadValuesError, echo
from app.published.lottery import Choice
from app.published.refresher import Published
from app.published.segment import Segment
from app.published.snapshot import NoSegmentError, Snapshot
from app.settings import MAX_BODY_BYTES
from app.voucher.customer import MEASURED, Customer, identity
from app.voucher.explanation import explain
from app.voucher.openapi import (
    CHOSEN_BY_HEADER,
    CUSTOMER,
    OLD_PATH,
    OLD_VOUCHER_ANSWER,
    PROPENSITY_HEADER,
    SEGMENT_HEADER,
    STATUS_HEADER,
    VOUCHER_ANSWER,
    mark_deprecated,
)
from app.voucher.parameters import named_run, wants_explanation
from app.web.request_log import RUN_HEADER

UTF_8 = {"utf-8", "utf8", "us-ascii", "ascii"}  # accepted charsets: JSON is always UTF-8

blueprint = APIBlueprint("voucher", __name__, abp_tags=[Tag(name="Vouchers")], abp_responses=VOUCHER_ANSWER)
blueprint.after_request(mark_deprecated)


@blueprint.post(
    OLD_PATH,
    strict_slashes=False,
    operation_id="getSegmentationVoucher",
    summary="The old path of /voucher",
    description="For existing clients. New clients should use `/voucher`, which gives the same answers.",
    deprecated=True,
    responses=OLD_VOUCHER_ANSWER,
    openapi_extensions=CUSTOMER,
)
@blueprint.post("/voucher", strict_slashes=False, operation_id="getVoucher", openapi_extensions=CUSTOMER)
def voucher() -> Response:
    """The voucher of a customer

    The amount sent most often to customers of the same country and segment. With `run`, it is the answer of that run:
    one that is planned, to try it before it is published, or one that was published before.
    """
    if not request.is_json:
        raise UnsupportedMediaType
    customer = Customer.from_json(body(MAX_BODY_BYTES))
    explained, named = wants_explanation(), named_run()
    if named is None:
        content, headers = respond(customer, current_app.extensions["published"], explained)
    else:
        content, headers = respond_from(named, customer, explained)
        headers.append((STATUS_HEADER, named.status))
    return Response(content, headers=headers)


def respond(customer: Customer, published: Published, explained: bool = False) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the body and headers of a 200 response. Raises the errors of `Published.require` and `answer`."""
    return respond_from(published.require(), customer, explained)


def respond_from(snapshot: Snapshot, customer: Customer, explained: bool) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the body and headers of a 200 response from a run. Raises the errors of `answer`."""
    row, choice, found = answer(customer, snapshot, snapshot.reference_day, explained)
    content = b"%b\n" % found
    return content, [
        ("Content-Type", "application/json"),
        *headers(row, choice, snapshot).items(),
        ("Content-Length", str(len(content))),
    ]


def answer(
    customer: Customer, snapshot: Snapshot, reference_day: date, explained: bool
) -> tuple[Segment, Choice, bytes]:
    """Return the customer's segment, the choice, and the answer as a JSON object.

    Raises UnknownKindError, BadValuesError, UnknownCountryError or NoSegmentError, in this order.
    """
    row, choice, found = decide(customer, snapshot, reference_day)
    if not explained:
        return row, choice, choice.answer
    return row, choice, explain(row, choice, found, reference_day, snapshot).model_dump_json().encode()


def decide(customer: Customer, snapshot: Snapshot, reference_day: date) -> tuple[Segment, Choice, int]:
    """Return the customer's segment, the choice, and the measured value. Raises the errors of `answer`."""
    found = measure(customer, snapshot, reference_day)
    row = snapshot.find(customer.country_code, customer.segment_name, found)
    choice = snapshot.choose(row, identity(customer.customer_id)) if snapshot.draws else row.choice
    return row, choice, found


def headers(row: Segment, choice: Choice, snapshot: Snapshot) -> dict[str, str]:
    """Return the headers that name the run and the segment, how the amount came about, and how likely it was."""
    return {
        RUN_HEADER: snapshot.run_id,
        SEGMENT_HEADER: row.label,
        CHOSEN_BY_HEADER: choice.chosen_by,
        PROPENSITY_HEADER: choice.likelihood,
    }


def body(most_bytes: int) -> bytes:
    """Return the request body without a byte order mark. Raises RequestEntityTooLarge or UnsupportedMediaType."""
    check_encoding()
    request.max_content_length = most_bytes
    if "wsgi.input_terminated" in request.environ:  # Werkzeug would truncate a chunked body silently
        found: bytes = request.environ["wsgi.input"].read(most_bytes + 1)
    else:
        found = request.get_data(cache=False)
    if len(found) > most_bytes:
        raise RequestEntityTooLarge
    return found.removeprefix(BOM_UTF8)


def check_encoding() -> None:
    """Raise UnsupportedMediaType if the headers say that the body is compressed or not UTF-8."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(f"Content-Encoding {echo(encoding)!r} is not supported. Send the body uncompressed.")
    charset = request.mimetype_params.get("charset", "utf-8")
    if charset.lower() not in UTF_8:
        raise UnsupportedMediaType(f"The charset {echo(charset)!r} is not supported. Send the body as UTF-8.")


def measure(customer: Customer, snapshot: Snapshot, reference_day: date) -> int:
    """Return the number in the field that the kind measures, or the days from the day in it to the reference day.

    Raises UnknownKindError, BadValuesError or NoSegmentError.
    """
    kind = snapshot.kind(customer.segment_name)
    if kind.field not in MEASURED:
        raise NoSegmentError(
            f"run {snapshot.run_id}: {kind.segment_name} measures {kind.measure} in {kind.field}, which the API does "
            "not read"
        )
    value = getattr(customer, kind.field)
    if value is None:
        raise BadValuesError(BadValue(kind.field, f"is required for {customer.segment_name}"))
    return _days_since(value, kind.field, snapshot, reference_day) if kind.unit == "days" else cast(int, value)


def _days_since(day: date, field: str, snapshot: Snapshot, reference_day: date) -> int:
    """Return whole UTC days to the reference day.

    The following day counts as 0, because the client's clock may be local. Raises BadValuesError if the day in `field`
    is later than that.
    """
    days = (reference_day - day).days
    if days < -1:
        origin = "pinned by TODAY" if snapshot.today else "the current UTC day"
        detail = f"must not be more than a day after the reference day {reference_day} ({origin})"
        raise BadValuesError(BadValue(field, detail, (day.isoformat(),)))
    return max(days, 0)
