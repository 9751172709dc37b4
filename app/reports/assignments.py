"""GET /assignments.csv: stream the cleaned rows from which a run was made."""

from contextlib import ExitStack

from flask import Response, current_app, request
from flask_openapi3.blueprint import APIBlueprint
from werkzeug.utils import secure_filename

from app.published.reader import reader
from app.published.refresher import Published
from app.reports import responses, rfc4180
from app.reports.downloads import cleaned
from app.reports.parameters import OfRunAndCountry
from app.settings import Settings
from app.web.request_log import RUN_HEADER
from app.web.streams import Places, stream

EXAMPLE = (
    "timestamp,country_code,first_order_ts,last_order_ts,total_orders,voucher_amount\r\n"
    "2018-07-14T21:00:00.000000Z,Peru,2017-05-03T00:00:00.000000Z,2018-05-03T10:30:00.250000Z,15,2640\r\n"
)
HEADERS = {
    **responses.RUN_HEADERS,
    "Content-Length": {
        "description": "Fewer bytes than this are a download that was cut off.",
        "schema": {"type": "integer"},
    },
    "Content-Disposition": {"description": "A name for the file", "schema": {"type": "string"}},
}

blueprint = APIBlueprint("assignments", __name__, abp_tags=[responses.TAG])


@blueprint.get(
    "/assignments.csv",
    operation_id="getAssignmentsCsv",
    responses={200: responses.csv_shown(EXAMPLE, "The rows", HEADERS)},
)
def assignments(query: OfRunAndCountry) -> Response:
    """The cleaned rows, as CSV

    Of the published run, or of an earlier one whose rows are kept. Times are UTC, a missing value is empty, and a
    country keeps the spelling of its row; one that a spreadsheet would take for a formula has a `'` before it.
    """
    published: Published = current_app.extensions["published"]
    places: Places = current_app.extensions["places"]
    settings: Settings = current_app.extensions["settings"]
    run_id = query.run or published.require().run_id
    rows = reader("rows")
    with ExitStack() as place:
        place.enter_context(places.one())
        found = cleaned(rows, run_id)
        if query.country is not None:
            found = found.of(query.country)
        response = Response(mimetype=rfc4180.MIMETYPE, headers={RUN_HEADER: run_id})
        response.content_length = found.length
        name = ["assignments", *([secure_filename(found.countries[0])] if query.country else []), run_id]
        response.headers.set("Content-Disposition", "attachment", filename=f"{'-'.join(filter(None, name))}.csv")
        if request.method == "GET":  # from here on, the stream leaves the place
            response.response = stream(found.lines(rows), place.pop_all(), settings.longest_download_seconds)
        return response
