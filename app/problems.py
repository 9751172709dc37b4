"""Every error as application/problem+json (RFC 9457): the one place that turns exceptions into HTTP."""

import json
import reprlib
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import HTTPException

from app.cleaned import RowsElsewhereError, RowsGoneError
from app.customer import BadValuesError, BrokenJSONError, TooManyCustomersError
from app.log import REQUEST_ID
from app.reading import DatabaseAwayError, UnknownRunError
from app.snapshot import NoSegmentError, NothingPublishedError, UnknownCountryError, UnknownKindError
from app.streams import TooManyCallsError, TooManyDownloadsError

log = structlog.get_logger()

LONGEST = 100  # characters of a value that are echoed


class FieldProblem(BaseModel):
    field: str
    detail: str
    value: Any = Field(None, description="What was sent, cut when long. Absent when nothing was.")


class Problem(BaseModel):
    type: str = Field(description="Tells kinds of problems apart; about:blank where the status says it all.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request, and the way out.")
    errors: list[FieldProblem] = Field([], description="Each field that has to change.")
    known: list[str] = Field([], description="The countries that have an answer, most rows first.")


def bad_values(error: BadValuesError) -> Problem:
    errors = [
        FieldProblem(field=bad.field, detail=bad.detail, **({"value": shown(bad.given[0])} if bad.given else {}))
        for bad in error.values
    ]
    detail = "; ".join(f"{bad.field} {bad.detail}" for bad in error.values)
    return problem(422, "bad-value", "A field cannot be used", f"{detail}.", errors=errors)


def unknown_kind(error: UnknownKindError) -> Problem:
    detail = f"must be one of {', '.join(error.known)}"
    errors = [FieldProblem(field="segment_name", detail=detail, value=shown(error.segment_name))]
    return problem(422, "bad-value", "A field cannot be used", f"segment_name {detail}.", errors=errors)


def unknown_country(error: UnknownCountryError) -> Problem:
    detail = f"There is no voucher for country_code {shown(error.country_code)!r}. /segments lists the countries."
    return problem(404, "unknown-country", "Unknown country", detail, known=list(error.known))


def broken_json(error: BrokenJSONError) -> Problem:
    return problem(400, "broken-json", "The body cannot be read", str(error))


def too_many_customers(error: TooManyCustomersError) -> Problem:
    return problem(413, "too-many-customers", "Too many customers", f"{error} Send them in several calls.")


def nothing_published(error: NothingPublishedError) -> Problem:
    if error.happened:
        detail = (
            f"No run could be read yet: {error.happened}. The log says what to do; this server tries again by itself."
        )
        return problem(503, "database-away", "The database is away", detail)
    detail = "No run is published yet. Switch on the DAG Voucher_Select in Airflow; its first run is served at once."
    return problem(503, "nothing-published", "Nothing published yet", detail)


def unknown_run(error: UnknownRunError) -> Problem:
    detail = f"Run {shown(error.run_id)!r} {error.detail}. /runs lists those that there are."
    return problem(404, "unknown-run", "Unknown run", detail)


def rows_gone(error: RowsGoneError) -> Problem:
    detail = (
        f"The cleaned rows of run {error.run_id} are not kept any more; those of the last VOUCHER_KEEP_RUNS published "
        "runs are. Its segments, rules and audits still stand."
    )
    return problem(410, "rows-gone", "The rows are gone", detail)


def rows_elsewhere(error: RowsElsewhereError) -> Problem:
    detail = (
        f"The cleaned rows of run {error.run_id} are Parquet files under {error.uri}, as VOUCHER_ROWS said when they "
        "were loaded; docs/growing.md tells how to read them. Its segments, rules and audits are here."
    )
    return problem(404, "rows-elsewhere", "The rows lie elsewhere", detail)


def database_away(_: DatabaseAwayError) -> Problem:
    detail = "Postgres does not answer. /voucher and /segments answer from memory; for this, try again."
    return problem(503, "database-away", "The database is away", detail)


def too_many_downloads(_: TooManyDownloadsError) -> Problem:
    detail = "As many downloads are under way as may be at once. Try again when one has ended."
    return problem(503, "too-many-downloads", "Too many downloads", detail)


def too_many_calls(_: TooManyCallsError) -> Problem:
    detail = "As many bulk calls are under way as may be at once. Try again later, or send fewer at a time."
    return problem(503, "too-many-calls", "Too many bulk calls", detail)


def no_segment(error: NoSegmentError) -> Problem:
    log.error("the published segments do not cover a customer", detail=str(error))
    detail = "The published segments do not cover this customer. The log says what is amiss with them."
    return problem(500, "no-segment", "No segment for this customer", detail)


def http_error(error: HTTPException) -> Problem:
    """Unknown paths, wrong methods, too large bodies and the like: what Flask refuses itself."""
    own = None if error.description == type(error).description else error.description
    return refused(HTTPStatus(error.code or 500), own, request.max_content_length)


def refused(status: HTTPStatus, description: str | None = None, most_bytes: int | None = None) -> Problem:
    way_out = {
        401: "Send one of the API's keys, as Authorization: Bearer KEY, or as the password of any user.",
        404: "There is nothing at this path. /redoc/ lists what there is.",
        413: f"The body may have {most_bytes} bytes.",
        415: "Send JSON, with the header Content-Type: application/json.",
    }
    return problem(status, "about:blank", status.phrase, description or way_out.get(status) or status.description)


def anything_else(_: Exception) -> Problem:
    request_id = request.environ.get(REQUEST_ID)
    log.exception("unhandled error", method=request.method, path=request.path, request_id=request_id)
    return refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The fault is on this side; the log has the details.")


HANDLERS: dict[type[Exception], Callable[[Any], Problem]] = {
    BrokenJSONError: broken_json,
    TooManyCustomersError: too_many_customers,
    BadValuesError: bad_values,
    UnknownKindError: unknown_kind,
    NothingPublishedError: nothing_published,
    UnknownCountryError: unknown_country,
    UnknownRunError: unknown_run,
    RowsGoneError: rows_gone,
    RowsElsewhereError: rows_elsewhere,
    DatabaseAwayError: database_away,
    TooManyDownloadsError: too_many_downloads,
    TooManyCallsError: too_many_calls,
    NoSegmentError: no_segment,
    HTTPException: http_error,
    Exception: anything_else,
}

# What may be amiss with one customer of many, while the others are answered.
OF_A_CUSTOMER = (BrokenJSONError, BadValuesError, UnknownKindError, UnknownCountryError, NoSegmentError)


def init_app(app: Flask) -> None:
    for exception, describe in HANDLERS.items():
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


def response(found: Problem) -> Response:
    """For `_respond`, and for layers that stand before Flask."""
    return Response(b"%b\n" % told(found), found.status, mimetype="application/problem+json")


def told(found: Problem, without: Collection[str] = ()) -> bytes:
    """Its JSON object, without these fields."""
    # Not pydantic's JSON: it has no way to write a lone surrogate. No "<" either, wherever the text may end up.
    return json.dumps(found.model_dump(exclude_unset=True, exclude=set(without))).replace("<", "\\u003c").encode()


def problem(status: int, kind: str, title: str, detail: str, **more: Any) -> Problem:
    kind = kind if ":" in kind else f"urn:voucher-select:{kind}"
    return Problem(type=kind, title=title, status=status, detail=detail, **more)


def shown(value: object) -> object:
    """The value itself where it is short and JSON can hold it, else a text cut to a sane length."""
    if value is None or (isinstance(value, int | float) and abs(value) < 10**15):  # not NaN, nor infinity
        return value
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    return reprlib.repr(value)  # cuts lists, objects and long numbers, however deep
