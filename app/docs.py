"""The OpenAPI document, and ReDoc and Swagger, which show it without a CDN."""

from copy import deepcopy
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify, redirect, url_for
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import ResponseDict
from flask_openapi3_redoc.plugins import RegisterPlugin as ReDoc  # type: ignore[import-untyped]
from flask_openapi3_swagger.plugins import RegisterPlugin as Swagger  # type: ignore[import-untyped]
from werkzeug.wrappers import Response as Redirect

from app import keys, problems, queries
from app.schemas import COMPONENTS, describe
from app.snapshot import Snapshot

INFO = Info(
    title="Voucher Select",
    version="1",
    description="The voucher amount that was used most for customers like this one, learned from history.",
)
RETRY_AFTER = {"Retry-After": {"description": "Seconds, where waiting helps.", "schema": {"type": "integer"}}}
LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"  # an image in ReDoc's bundle: nothing is fetched from elsewhere
# Swagger's bundle names a validator on another host: the browser must not fetch it.
POLICY = (
    "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; img-src 'self' data:; worker-src 'self' blob:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)


def answers(*examples: problems.Problem) -> ResponseDict:
    """What an operation may answer with, by status, each with its example, or with several."""
    by_status: dict[int, list[problems.Problem]] = {}
    for example in examples:
        by_status.setdefault(example.status, []).append(example)
    return {
        status: {
            "description": "; or ".join(example.title for example in alike),
            "content": {"application/problem+json": {"schema": {"$ref": f"{COMPONENTS}/Problem"}, **_shown(alike)}},
            **({"headers": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}),
        }
        for status, alike in by_status.items()
    }


def _shown(alike: list[problems.Problem]) -> dict[str, Any]:
    values = [example.model_dump(exclude_unset=True) for example in alike]
    if len(values) == 1:
        return {"example": values[0]}
    return {"examples": {str(value["type"]).rpartition(":")[2]: {"value": value} for value in values}}


UNAUTHORIZED = answers(problems.refused(HTTPStatus.UNAUTHORIZED))[HTTPStatus.UNAUTHORIZED]
INTERNAL_ERROR = answers(problems.refused(HTTPStatus.INTERNAL_SERVER_ERROR))


def new_app(name: str) -> OpenAPI:
    """A Flask app that documents its routes."""
    return OpenAPI(
        name,
        info=INFO,
        doc_ui=False,  # it would claim "/" for a page of its own
        security_schemes={},  # None becomes a null, which is not valid
        validation_error_model=problems.Problem,
        validation_error_callback=queries.refuse,
        validation_error_status=500,  # it documents an error body of its own where this status is missing: nowhere
    )


def init_app(app: OpenAPI) -> None:
    app.add_url_rule("/openapi.json", "openapi", lambda: jsonify(document(app, app.extensions["published"].snapshot)))
    for viewer in (ReDoc, Swagger):
        pages = viewer.register(doc_url="openapi.json")
        pages.after_request(_stay_here)
        app.register_blueprint(pages)
        app.add_url_rule(f"/{pages.name}/", f"{pages.name}_slash", _without_slash, defaults={"name": pages.name})


def document(app: OpenAPI, snapshot: Snapshot | None) -> dict[str, Any]:
    """The kinds of segment are those of the published run, so the document is made when it is asked for."""
    spec: dict[str, Any] = deepcopy(app.api_doc)
    describe(spec, snapshot)
    if app.extensions["settings"].api_keys:
        _guard(spec)
    return spec


def _guard(spec: dict[str, Any]) -> None:
    """Say which operations need a key, and that they refuse who has none."""
    spec["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer"},
        "password": {"type": "http", "scheme": "basic", "description": "A key is the password of any user."},
    }
    for path, operations in spec["paths"].items():
        for operation in operations.values() if not keys.is_open(path) else ():
            operation["security"] = [{"key": []}, {"password": []}]
            operation["responses"]["401"] = deepcopy(UNAUTHORIZED)


def _without_slash(name: str) -> Redirect:
    return redirect(url_for(f"{name}.{name}"))


def _stay_here(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    if response.mimetype == "text/javascript" and response.status_code == HTTPStatus.OK:
        response.direct_passthrough = False
        response.set_data(response.get_data().replace(LOGO, b"data:,"))
    return response
