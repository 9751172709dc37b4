"""Turn errors into the protocol's own objects: 400 with an `errorCode`, 5xx with `errorDetails` only."""

import json
from typing import Any, Literal

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from app.errors import CustomerError
from app.ofrep.answers import KEY
from app.ofrep.context import TargetingKeyMissingError
from app.voucher.customer import BrokenJSONError
from app.web.problems import Problem

BULK = "/ofrep/v1/evaluate/flags"

ErrorCode = Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]


def refuse(problem: Problem, error: Exception) -> Response:
    """Return the response to an error, with the words of the problem that `/voucher` would answer.

    All refusals have the status 400: clients of the protocol ignore the words of a 413, 415 or 422.
    """
    if problem.status >= 500:
        return json_response({"errorDetails": problem.detail}, problem.status)
    found = failure(problem, error)
    if request.path.rstrip("/") == BULK:
        del found["key"]
    return json_response(found, 400)


def failure(problem: Problem, error: Exception) -> dict[str, Any]:
    """Return why the flag could not be evaluated, as an object of the protocol."""
    known = {"metadata": {"known": ", ".join(problem.known)}} if problem.known else {}
    return {"key": KEY, "errorCode": _code(error), "errorDetails": problem.detail} | known


def not_found(key: str) -> Response:
    """Return the response to another flag than the one there is."""
    details = f"There is no flag {key[:100]!a}. This service has one flag: {KEY}."
    return json_response({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, 404)


def json_response(found: object, status: int) -> Response:
    # "<" is escaped in case the text ends up in HTML.
    return Response(f"{json.dumps(found)}\n".replace("<", "\\u003c"), status, mimetype="application/json")


def _code(error: Exception) -> ErrorCode:
    if isinstance(error, BrokenJSONError | UnsupportedMediaType):
        return "PARSE_ERROR"
    if isinstance(error, TargetingKeyMissingError):
        return "TARGETING_KEY_MISSING"
    return "INVALID_CONTEXT" if isinstance(error, CustomerError) and error.status < 500 else "GENERAL"
