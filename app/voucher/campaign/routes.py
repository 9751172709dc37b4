"""POST /vouchers.csv, and /vouchers with text/csv: the vouchers of a file of customers."""

import io
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from app.errors import BadValue, BadValuesError
from app.published.refresher import Published
from app.published.snapshot import Snapshot
from app.settings import MAX_CAMPAIGN_BYTES
from app.voucher.campaign import openapi
from app.voucher.campaign.files import CSV, Options, answer_file
from app.voucher.campaign.records import SEPARATORS
from app.voucher.campaign.spool import CHUNK
from app.voucher.customer import REQUIRED
from app.voucher.openapi import STATUS_HEADER
from app.voucher.parameters import named_run, once, yes_or_no
from app.voucher.routes import check_encoding

blueprint = APIBlueprint("campaign", __name__, abp_tags=[Tag(name="Vouchers")], abp_responses=openapi.FILE_ANSWER)


@blueprint.post("/vouchers.csv", operation_id="getVouchersCsv", openapi_extensions=openapi.CUSTOMERS_FILE)
def vouchers_csv() -> Response:
    """The vouchers of a file of customers, as CSV

    The first line names the columns. Those with a name of a customer's field are read, in any order; all others are
    handed through. The answer has the same lines and columns, and after them `voucher_amount` and `problem`: each
    customer has either. A line without any value has neither. With `explain=true`, more columns follow. All answers are
    from one run. `POST /vouchers` with `Content-Type: text/csv` does the same.

    The file is UTF-8, with or without a byte order mark. The separator is a comma, a semicolon or a tab, which the
    first line shows. An empty cell is a field that is not given.
    """
    if request.mimetype != CSV:
        raise UnsupportedMediaType("Send a CSV file with the header Content-Type: text/csv.")
    return answer_request()


def answer_request() -> Response:
    """Return the vouchers of the file in the request's body. Raises the errors of `answer_file`."""
    check_encoding()
    named = named_run()
    response = answer_file(lambda: (_body(), options(request.args, named)))
    if named:
        response.headers[STATUS_HEADER] = named.status
    return response


def _body() -> BinaryIO:
    request.max_content_length = MAX_CAMPAIGN_BYTES
    return io.BufferedReader(cast(io.RawIOBase, request.stream), CHUNK)


def options(values: "MultiDict[str, str]", run: Snapshot | None = None) -> Options:
    """Return the options in a query or a form. Without a run, it is the published one.

    Raises BadValuesError, UnknownCountryError or the errors of `Published.require`.
    """
    published: Published = current_app.extensions["published"]
    run = run or published.require()
    separator = once(values, "separator")
    if separator and separator not in SEPARATORS:
        detail = f"must be {', '.join(SEPARATORS)}, or absent for the separator of the file"
        raise BadValuesError(BadValue("separator", detail, (separator,)))
    return Options(
        run=run,
        given=_given(values, run),
        separator=SEPARATORS[separator] if separator else None,
        bom=yes_or_no(values, "bom"),
        explain=yes_or_no(values, "explain"),
    )


def _given(values: "MultiDict[str, str]", run: Snapshot) -> Mapping[str, Any]:
    """Return the fields that the request gives for all customers."""
    given = {name: value for name in REQUIRED if (value := once(values, name))}
    if "segment_name" in given:
        run.kind(given["segment_name"])
    if "country_code" in given:
        given["country_code"] = run.country(given["country_code"])
    return given
