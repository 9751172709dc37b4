"""GET /assignments.csv: stream the cleaned rows of a run."""

from contextlib import ExitStack

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.utils import secure_filename

from app.published.reader import reader
from app.reports import responses
from app.reports.parameters import OfRunAndCountry
from app.reports.rows.downloads import find_rows
from app.settings import Settings
from app.web.request_log import RUN_HEADER
from app.web.streams import Slots, stream

EXAMPLE = (
    "timestamp,country_code,first_order_ts,last_order_ts,total_orders,voucher_amount\r\n"
    "2018-07-14T21:00:00.000000Z,Peru,2017-05-03T00:00:00.000000Z,2018-05-03T10:30:00.250000Z,15,2640\r\n"
)
HEADERS = {
    **responses.RUN_HEADERS,
    "Content-Length": {
        "description": "If fewer bytes arrive, the download was cut off.",
        "schema": {"type": "integer"},
    },
    "Content-Disposition": {"description": "A file name", "schema": {"type": "string"}},
}

blueprint = APIBlueprint("assignments", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/assignments.csv",
    operation_id="getAssignmentsCsv",
    responses={200: responses.csv_docs(EXAMPLE, "The rows", HEADERS)},
)
def assignments(query: OfRunAndCountry) -> Response:
    """The cleaned rows, as CSV

    They are from the published run, or from an earlier run whose rows are kept. Times are in UTC, and a missing value
    is empty. A country keeps the spelling of its row; one that a spreadsheet would treat as a formula is prefixed with
    `'`.
    """
    slots: Slots = current_app.extensions["download_slots"]
    settings: Settings = current_app.extensions["settings"]
    run_id = responses.wanted_run(query.run)
    rows = reader("rows")
    with ExitStack() as slot:
        slot.enter_context(slots.take())
        found = find_rows(rows, run_id)
        if query.country is not None:
            found = found.of_country(query.country)
        response = Response(mimetype=responses.CSV, headers={RUN_HEADER: run_id})
        response.content_length = found.length
        name = ["assignments", *([secure_filename(found.countries[0])] if query.country else []), run_id]
        response.headers.set("Content-Disposition", "attachment", filename=f"{'-'.join(filter(None, name))}.csv")
        if request.method == "GET":  # the stream now holds the slot, and releases it
            response.response = stream(found.lines(rows), slot.pop_all(), settings.longest_download_seconds)
        return response
