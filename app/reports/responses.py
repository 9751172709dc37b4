"""Responses of the reports, as JSON or CSV, and their documentation.

CSV is written as in RFC 4180, in UTF-8 and with CRLF. Text that a spreadsheet would treat as a formula is escaped.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, request
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from app.published.reader import reader
from app.published.refresher import Published
from app.published.runs import full_id
from app.published.snapshot import Snapshot
from app.voucher.csv_cells import cell
from app.web.request_log import RUN_HEADER

CSV = "text/csv"
TAG = Tag(name="Tables")
RUN_ID = "8d5ff2c3a1b4e697"  # in the examples
PUBLISHED_AT = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)  # in the examples
RUN_HEADERS = {RUN_HEADER: {"description": "The run that was read", "schema": {"type": "string"}}}


def published_run() -> Snapshot:
    """Return the published run. Raises the errors of `Published.require`."""
    published: Published = current_app.extensions["published"]
    return published.require()


def wanted_run(given: str | None) -> str:
    """Return the id of the run that a request names, or of the published one if it names none.

    Raises the errors of `full_id` and `Published.require`.
    """
    return full_id(reader("tables"), given) if given else published_run().run_id


def live_since(run: Snapshot) -> dict[str, Any]:
    """Return the fields of a table that name the published run."""
    return {"run_id": run.run_id, "published_at": run.published_at}


def json_response(body: BaseModel, run_id: str | None = None) -> Response:
    """Return a JSON response. `run_id` is the run that the whole body was read from."""
    headers = {RUN_HEADER: run_id} if run_id else {}
    return Response(f"{body.model_dump_json()}\n", headers=headers, content_type="application/json")


def csv_response(rows: str, run_id: str) -> Response:
    return Response(rows, headers={RUN_HEADER: run_id}, mimetype=CSV)


def json_or_csv(body: Callable[[], BaseModel], rows: Callable[[], str], run_id: str) -> Response:
    """Return the body as JSON, or the rows as CSV if the request prefers it."""
    if request.accept_mimetypes.best_match(["application/json", CSV]) == CSV:
        response = csv_response(rows(), run_id)
    else:
        response = json_response(body(), run_id)
    response.vary.add("Accept")
    return response


def csv_table(model: type[BaseModel], rows: Sequence[BaseModel]) -> str:
    """Return the rows as CSV. The first line has the names of the model's fields."""
    return "".join(map(csv_line, [model.model_fields, *(row.model_dump().values() for row in rows)]))


def csv_line(values: Iterable[object]) -> str:
    """Return a line of CSV.

    None is empty, booleans are lower-case, and text that looks like a formula is prefixed with "'".
    """
    written = io.StringIO()
    csv.writer(written).writerow([cell(value) for value in values])
    return written.getvalue()


def csv_field(text: str) -> str:
    """Return a text as it is written in a line."""
    return csv_line([text]).removesuffix("\r\n")


def json_docs(
    example: BaseModel, description: str, headers: dict[str, Any] | None = None, more: dict[str, Any] | None = None
) -> type[BaseModel]:
    """Return the example's model with its OpenAPI documentation. `more` are other media types of the same response."""
    model = type(example)
    extra = {"description": description, "example": example.model_dump(mode="json"), "content": more or {}}
    model.model_config["openapi_extra"] = extra | ({"headers": headers} if headers else {})  # type: ignore[typeddict-unknown-key]
    return model


def csv_media(example: str) -> dict[str, Any]:
    return {CSV: {"schema": {"type": "string"}, "example": example}}


def csv_docs(example: str, description: str, headers: dict[str, Any] = RUN_HEADERS) -> dict[str, Any]:
    return {"description": description, "headers": headers, "content": csv_media(example)}
