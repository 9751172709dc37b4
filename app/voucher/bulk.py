"""POST /vouchers: answer many customers in one request, in order and from one run."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from werkzeug.exceptions import UnsupportedMediaType

from app.errors import CustomerError
from app.places.countries import UnknownCountryError
from app.published.refresher import Published
from app.published.snapshot import Snapshot
from app.settings import MAX_BULK_BYTES, MAX_CUSTOMERS
from app.voucher.campaign.files import CSV
from app.voucher.campaign.routes import answer_request
from app.voucher.customer import BrokenJSONError, Customer, TooManyCustomersError, parse_json
from app.voucher.openapi import CUSTOMERS, LINES, LINES_ANSWER, NO_CUSTOMERS, STATUS_HEADER, VOUCHERS_ANSWER
from app.voucher.parameters import named_run, wants_explanation
from app.voucher.routes import answer, body
from app.voucher.schemas import NDJSON
from app.web import problems
from app.web.request_log import RUN_HEADER
from app.web.streams import Slots, bulk_turn

blueprint = APIBlueprint("vouchers", __name__, abp_tags=[Tag(name="Vouchers")], abp_responses=VOUCHERS_ANSWER)


# A separate path, because generated clients cannot handle two body types in one operation.
@blueprint.post(
    "/vouchers.ndjson",
    operation_id="getVouchersNdjson",
    summary="The vouchers of up to 10,000 customers, as NDJSON",
    description="One customer and one answer per line. Blank lines are skipped. A line that is not valid JSON, or has "
    f"a duplicate name in an object, is answered with a problem. `{NDJSON[1]}` is accepted too.",
    responses=LINES_ANSWER,
    openapi_extensions=LINES,
)
@blueprint.post("/vouchers", strict_slashes=False, operation_id="getVouchers", openapi_extensions=CUSTOMERS)
def vouchers() -> Response:
    """The vouchers of up to 10,000 customers

    The answers are in the order of the customers and from one run. Each is what `/voucher` would answer: an amount, or
    a problem, which has a `status`. If the array is not valid JSON, or an object has a duplicate name, the whole
    request is rejected. NDJSON and CSV are accepted too: see `/vouchers.ndjson` and `/vouchers.csv`. If several
    countries are unknown, only the first of these problems lists the known ones. With `run`, the answers are those of
    that run.
    """
    if request.mimetype == CSV:
        return answer_request()
    lines = request.mimetype in NDJSON
    if not (lines or request.is_json):
        raise UnsupportedMediaType(NO_CUSTOMERS)
    slots: Slots = current_app.extensions["bulk_slots"]
    with slots.take():
        return _respond(body(MAX_BULK_BYTES), lines)


def _respond(sent: bytes, lines: bool) -> Response:
    with bulk_turn:
        given, read = (_lines(sent), Customer.from_json) if lines else (_array(sent), Customer.from_dict)
        if len(given) > MAX_CUSTOMERS:
            raise TooManyCustomersError(len(given))
        explained, named = wants_explanation(), named_run()
        published: Published = current_app.extensions["published"]
        snapshot = named or published.require()
        answers = _answers(given, read, snapshot, explained)
    return Response(
        b"".join(b"%b\n" % found for found in answers) if lines else b"[%b]\n" % b",".join(answers),
        headers={RUN_HEADER: snapshot.run_id} | ({STATUS_HEADER: named.status} if named else {}),
        content_type=request.mimetype if lines else "application/json",
    )


def _lines(sent: bytes) -> list[bytes]:
    return [line for line in sent.split(b"\n") if line.strip(b" \t\r")]


def _array(sent: bytes) -> list[Any]:
    """Return the array of a body. Raises BrokenJSONError."""
    found = parse_json(sent)
    if not isinstance(found, list):
        raise BrokenJSONError('The body is not an array. Send [{"country_code": …}, …].')
    return found


def _answers(given: Sequence[Any], read: Callable[[Any], Customer], snapshot: Snapshot, explained: bool) -> list[bytes]:
    """Return the JSON object for each customer.

    Only the first unknown country lists the known ones, because they are many.
    """
    day = snapshot.reference_day
    left_out: set[str] = set()

    def answered(one: Any) -> bytes:
        try:
            return answer(read(one), snapshot, day, explained)[2]
        except CustomerError as error:
            problem = problems.to_json(problems.from_error(error), left_out)
            if isinstance(error, UnknownCountryError):
                left_out.add("known")
            return problem

    return [answered(one) for one in given]
