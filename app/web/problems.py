"""Every error as application/problem+json (RFC 9457): the only module that turns exceptions into HTTP responses."""

import json
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from werkzeug.exceptions import HTTPException

from app.errors import ApiError
from app.web.request_log import REQUEST_ID

log = structlog.get_logger()

EXAMPLE: JsonDict = {
    "type": "urn:voucher-select:bad-value",
    "title": "A field cannot be used",
    "status": 422,
    "detail": "total_orders must be a whole number, 0 or more, and no text.",
    "errors": [{"field": "total_orders", "detail": "must be a whole number, 0 or more, and no text", "value": 2.5}],
}


class FieldProblem(BaseModel):
    field: str
    detail: str
    value: Any = Field(default=None, description="What was sent, cut when long. Absent when nothing was.")


class Problem(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    type: str = Field(description="Tells kinds of problems apart; about:blank where the status says it all.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request, and the way out.")
    errors: list[FieldProblem] = Field(default=[], description="Each field that has to change.")
    known: list[str] = Field(default=[], description="The countries that have an answer, most rows first.")


def from_error(error: ApiError) -> Problem:
    if error.reason:
        log.error(error.title, reason=error.reason)
    return Problem(
        type=f"urn:voucher-select:{error.type}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        **error.members,
    )


def from_http_exception(error: HTTPException) -> Problem:
    """Return the problem of an error that Flask raises, such as an unknown path or a too large body."""
    own = None if error.description == type(error).description else error.description
    return refused(HTTPStatus(error.code or 500), own, request.max_content_length)


def from_exception(_: Exception) -> Problem:
    request_id = request.environ.get(REQUEST_ID)
    log.exception("unhandled error", method=request.method, path=request.path, request_id=request_id)
    return refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The fault is on this side; the log has the details.")


def refused(status: HTTPStatus, description: str | None = None, most_bytes: int | None = None) -> Problem:
    """Return the problem of a plain status: `description` if there is one, otherwise what the client can do."""
    way_out = {
        401: "Send one of the API's keys, as Authorization: Bearer KEY, or as the password of any user.",
        404: "There is nothing at this path. /redoc/ lists what there is.",
        413: f"The body may have {most_bytes} bytes.",
        415: "Send JSON, with the header Content-Type: application/json.",
    }
    detail = description or way_out.get(status) or status.description
    return Problem(type="about:blank", title=status.phrase, status=status, detail=detail)


def init_app(app: Flask) -> None:
    for exception, describe in (
        (ApiError, from_error),
        (HTTPException, from_http_exception),
        (Exception, from_exception),
    ):
        app.register_error_handler(exception, partial(_respond, describe))


def _respond(describe: Callable[[Any], Problem], error: Exception) -> Response:
    if isinstance(error, HTTPException) and (error.code is None or error.code < 400):
        return cast(Response, error.get_response())  # a redirect
    answer = response(describe(error))
    if allowed := getattr(error, "valid_methods", None):
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    if seconds := getattr(error, "retry_after", None):
        answer.headers["Retry-After"] = str(seconds)
    return answer


def response(problem: Problem) -> Response:
    """Return the problem as a response. Layers before Flask use it too."""
    return Response(b"%b\n" % to_json(problem), problem.status, mimetype="application/problem+json")


def to_json(problem: Problem, without: Collection[str] = ()) -> bytes:
    """Return its JSON object, without these fields."""
    # json, because pydantic cannot write lone surrogates. "<" is escaped, in case the text ends up in HTML.
    return json.dumps(problem.model_dump(exclude_unset=True, exclude=set(without))).replace("<", "\\u003c").encode()
