"""POST /campaign: the page's form for a file of customers. It works without JavaScript."""

import unicodedata
from collections.abc import Mapping
from typing import BinaryIO, cast
from urllib.parse import quote

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.wrappers import Response as Redirect

from app.errors import ApiError
from app.page.routes import set_policy
from app.page.try_form import measured_fields
from app.published.refresher import Published
from app.published.snapshot import Snapshot
from app.reports.responses import csv_line
from app.settings import MAX_CAMPAIGN_BYTES
from app.voucher.campaign.files import Options, answer_file
from app.voucher.campaign.routes import options
from app.voucher.schemas import example
from app.web import problems

MAX_NAME = 100  # characters of the file's name that the answer's name repeats

blueprint = Blueprint("campaign_page", __name__, template_folder="templates")
blueprint.after_request(set_policy)


# Another site's form may post here too, with the password that a browser keeps. That is harmless: nothing is changed
# or stored, and the other site can't read the answer.
@blueprint.post("/campaign")
def answer() -> Response:
    """Return the answer of the file as a download, or a page with the problem and the form."""
    try:
        response = answer_file(_receive)
    except (ApiError, HTTPException) as error:
        return _error_page(error)
    response.headers.set("Content-Disposition", "attachment", **_answer_name(request.files["file"].filename or ""))
    return response


@blueprint.get("/campaign")
def form() -> Redirect:
    """Go back to the form, for a browser that reloads the address."""
    return redirect(url_for("pages.index", _anchor="campaign"))


def _receive() -> tuple[BinaryIO, Options]:
    """Read the form. Werkzeug writes a large file to disk. Raises BadRequest if there is none."""
    request.max_content_length = MAX_CAMPAIGN_BYTES
    file = request.files.get("file")
    if file is None or not file.filename:
        raise BadRequest("No file was chosen. Choose a CSV file.")
    filled = request.form.copy()
    for name in [name for name, value in filled.items() if not value]:  # "from the column", "as in the file"
        del filled[name]
    return cast(BinaryIO, file.stream), options(filled)


def _answer_name(name: str) -> dict[str, str]:
    """Return the name of the answer, list-vouchers.csv for list.csv, as parameters of Content-Disposition: RFC 6266."""
    stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or "customers"
    full = f"{''.join(filter(str.isprintable, stem))[:MAX_NAME]}-vouchers.csv"
    plain = unicodedata.normalize("NFKD", full).encode("ascii", "ignore").decode()
    return {"filename": plain} if plain == full else {"filename": plain, "filename*": f"UTF-8''{quote(full, safe='')}"}


@blueprint.app_template_global()
def example_file(run: Snapshot) -> str:
    """Return a CSV file with a customer that the run has an answer for, as a data URL."""
    customer = example(run, run.kinds[0].segment_name)
    fields = [name for name in ("country_code", *(each.name for each in measured_fields(run))) if name in customer]
    values = (str(customer[name]).removesuffix(" 00:00:00") for name in fields)
    return f"data:text/csv;charset=utf-8,{quote(csv_line(fields) + csv_line(values))}"


def _error_page(error: ApiError | HTTPException) -> Response:
    problem = problems.from_error(error) if isinstance(error, ApiError) else problems.from_http_exception(error)
    published: Published = current_app.extensions["published"]
    run = published.snapshot
    context = {"run": run, "measured": measured_fields(run) if run else [], "problem": problem, "filled": _filled()}
    response = make_response(render_template("campaign.html", **context), problem.status)
    if seconds := getattr(error, "retry_after", None):
        response.headers["Retry-After"] = str(seconds)
    return response


def _filled() -> Mapping[str, str]:
    """Return the fields of the form; none if it could not be read, or has not been."""
    return request.form if "form" in vars(request) else {}
