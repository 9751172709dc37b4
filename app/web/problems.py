"""Return every error as application/problem+json (RFC 9457). No other module turns exceptions into HTTP responses."""

import json
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import structlog
from flask import Flask, Response, request
from flask.sansio.scaffold import Scaffold
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from werkzeug.exceptions import HTTPException

from app.errors import ApiError
from app.web.request_log import REQUEST_ID

log = structlog.get_logger()

EXAMPLE: JsonDict = {
    "type": "urn:voucher-select:bad-value",
    "title": "Invalid field",
    "status": 422,
    "detail": "total_orders must be a whole number of at least 0, unquoted.",
    "errors": [{"field": "total_orders", "detail": "must be a whole number of at least 0, unquoted", "value": 2.5}],
}


class FieldProblem(BaseModel):
    field: str
    detail: str
    value: Any = Field(default=None, description="The value sent, shortened if long. Absent if none was sent.")


class Problem(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    type: str = Field(description="Identifies the kind of problem; about:blank if the status says everything.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request, and what to do.")
    errors: list[FieldProblem] = Field(default=[], description="The invalid fields.")
    known: list[str] = Field(default=[], description="The countries that have answers, most rows first.")


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
    """Return the problem for an error that Flask raises, such as an unknown path or a too large body."""
    own = None if error.description == type(error).description else error.description
    return of_status(HTTPStatus(error.code or 500), own, request.max_content_length)


def from_exception(_: Exception) -> Problem:
    request_id = request.environ.get(REQUEST_ID)
    log.exception("unhandled error", method=request.method, path=request.path, request_id=request_id)
    return of_status(HTTPStatus.INTERNAL_SERVER_ERROR, "This is an error of the service. The log has the details.")


def of_status(status: HTTPStatus, description: str | None = None, most_bytes: int | None = None) -> Problem:
    """Return the problem for an HTTP status.

    `description` replaces the default detail, which says what the client can do.
    """
    remedies = {
        401: "Send an API key as Authorization: Bearer KEY, or as the password of any user.",
        404: "There is nothing at this path. /redoc/ lists the paths.",
        413: f"The body may have at most {most_bytes} bytes.",
        415: "Send JSON, with the header Content-Type: application/json.",
    }
    detail = description or remedies.get(status) or status.description
    return Problem(type="about:blank", title=status.phrase, status=status, detail=detail)


def init_app(app: Flask) -> None:
    register(app, lambda problem, _: response(problem))


def register(scaffold: Scaffold, render: Callable[[Problem, Exception], Response]) -> None:
    """Let `render` make the response to every error that a route of the app or blueprint raises."""
    for exception, describe in (
        (ApiError, from_error),
        (HTTPException, from_http_exception),
        (Exception, from_exception),
    ):
        scaffold.register_error_handler(exception, partial(_respond, describe, render))


def _respond(
    describe: Callable[[Any], Problem], render: Callable[[Problem, Exception], Response], error: Exception
) -> Response:
    if isinstance(error, HTTPException) and (error.code is None or error.code < 400):
        return cast(Response, error.get_response())  # a redirect
    answer = render(describe(error), error)
    if allowed := getattr(error, "valid_methods", None):
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    if seconds := getattr(error, "retry_after", None):
        answer.headers["Retry-After"] = str(seconds)
    return answer


def response(problem: Problem) -> Response:
    """Return the problem as a response. WSGI layers use it too."""
    return Response(b"%b\n" % to_json(problem), problem.status, mimetype="application/problem+json")


def to_json(problem: Problem, without: Collection[str] = ()) -> bytes:
    """Return the problem as a JSON object, without these fields."""
    # json, because pydantic cannot write lone surrogates. "<" is escaped in case the text ends up in HTML.
    return json.dumps(problem.model_dump(exclude_unset=True, exclude=set(without))).replace("<", "\\u003c").encode()
