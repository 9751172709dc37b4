"""The OpenAPI document, and the pages that render it: ReDoc and Swagger, without a CDN."""

import json
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from flask import Response, redirect, request
from flask_openapi3.models.info import Info
from flask_openapi3.models.license import License
from flask_openapi3.models.server import Server
from flask_openapi3.openapi import OpenAPI
from flask_openapi3_redoc.plugins import RegisterPlugin as ReDoc  # type: ignore[import-untyped]
from flask_openapi3_swagger.plugins import RegisterPlugin as Swagger  # type: ignore[import-untyped]
from werkzeug.wrappers import Response as Redirect

from app.ofrep import openapi as ofrep
from app.published.snapshot import Snapshot
from app.reports import parameters
from app.settings import MAX_BODY_BYTES, MAX_BULK_BYTES, MAX_CAMPAIGN_BYTES, MAX_CUSTOMERS
from app.voucher.schemas import describe
from app.web import keys, openapi, problems
from app.web.request_log import REQUEST_HEADER, RUN_HEADER

INTRODUCTION = f"""\
Post a customer and get the voucher amount that was sent most often to similar customers.

**Keys.** If the server has API keys, send one as `Authorization: Bearer KEY`, or as the password of HTTP Basic with any
user name; without one, the response is 401. `/livez`, `/readyz`, `/health`, `/metrics` and this documentation need no
key.

**Limits.** `POST /voucher` takes up to {MAX_BODY_BYTES // 2**10} KiB per request; `POST /vouchers` takes up to
{MAX_CUSTOMERS:,} customers and {MAX_BULK_BYTES // 2**20} MiB, or a CSV file of up to {MAX_CAMPAIGN_BYTES // 2**20} MiB.
A larger request gets a 413. A query parameter may be given once.

**Errors.** Every error is an `application/problem+json` object (RFC 9457), except where OpenFeature's protocol has its
own form. `type` identifies the kind of error, `detail` says what is wrong, and `errors` lists each invalid field. The
kinds are listed below. General HTTP errors, such as 401, 405 and 415, and unexpected errors (500) have the type
`about:blank`.

**Runs.** The header `{RUN_HEADER}` names the run that vouchers and tables were read from. All answers of one request
come from the same run: the published one, or the one that the parameter `run` names. Every response has an
`{REQUEST_HEADER}` header, which is also in the log. You can send your own.

**Retries.** Every request is read-only and can be repeated. Retry a 503 after the seconds in `Retry-After`, or with
increasing delays if the header is missing. A 409 means that the run is still being loaded. Do not retry other errors
without changing the request.

**New fields** may be added to responses without notice. Ignore fields that you do not know.
"""
# Swagger's bundle uses a validator on another host. This keeps the browser from sending requests to it.
POLICY = (
    "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; img-src 'self' data:; worker-src 'self' blob:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
)
LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"  # in ReDoc's bundle


def new_app(name: str, version: str) -> OpenAPI:
    """Return a Flask app that documents its routes."""
    info = Info(
        title="Voucher Select",
        version=version,
        description=f"{INTRODUCTION}\n**Kinds of errors**\n\n{openapi.kinds()}\n",
        license=License(name="MIT", identifier="MIT"),
    )
    return OpenAPI(
        name,
        info=info,
        servers=[Server(url=".")],  # relative to the document's URL, so that it works behind a prefix too
        doc_ui=False,  # it would add a page of its own at "/"
        static_folder=None,  # the page's blueprint serves /static
        security_schemes={},  # None would become null, which is invalid
        validation_error_model=problems.Problem,
        validation_error_callback=parameters.refuse,
    )


def init_app(app: OpenAPI) -> None:
    app.add_url_rule("/openapi.json", "openapi", lambda: _json(document(app, app.extensions["published"].snapshot)))
    for viewer in (ReDoc, Swagger):
        pages = viewer.register(doc_url="openapi.json")
        pages.after_request(_set_policy)
        if viewer is ReDoc:
            pages.after_request(_without_logo)
        app.register_blueprint(pages)
        app.add_url_rule(f"/{pages.name}/", f"{pages.name}_slash", _without_slash, defaults={"name": pages.name})


def document(app: OpenAPI, snapshot: Snapshot | None) -> dict[str, Any]:
    """Return the OpenAPI document.

    It is built on request, because segment kinds and examples come from the published run.
    """
    spec: dict[str, Any] = deepcopy(app.api_doc)
    describe(spec, snapshot)
    ofrep.describe(spec, snapshot)
    for operation in _operations(spec):
        del operation["responses"]["422"]  # added by flask-openapi3; this API responds with a problem
        operation["responses"] = openapi.PROBLEMS | operation["responses"]
        if "description" in operation:  # flask-openapi3 joins the lines of a docstring with <br/>
            operation["description"] = operation["description"].replace("<br/>", "\n").strip()
    spec["paths"] = dict(sorted(spec["paths"].items(), key=lambda path: any(map(_is_deprecated, path[1].values()))))
    if app.extensions["settings"].api_keys:
        _guard(spec)
    else:
        del spec["components"]["securitySchemes"]  # Swagger would offer "Authorize" for an empty one
    return spec


def _operations(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for operations in spec["paths"].values() for operation in operations.values()]


def _is_deprecated(operation: dict[str, Any]) -> bool:
    return bool(operation.get("deprecated"))


def _json(spec: dict[str, Any]) -> Response:
    """Return the document with its routes in the order of registration; `jsonify` would sort them."""
    return Response(json.dumps(spec), content_type="application/json")


def _guard(spec: dict[str, Any]) -> None:
    """Document which operations need a key."""
    spec["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer"},
        "password": {"type": "http", "scheme": "basic", "description": "A key is the password of any user."},
    }
    for path, operations in spec["paths"].items():
        for operation in operations.values() if not keys.is_public(path) else ():
            operation["security"] = [{"key": []}, {"password": []}]


def _without_slash(name: str) -> Redirect:
    return redirect(f"../{name}")  # relative, so that it works behind a prefix too


def _set_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _without_logo(response: Response) -> Response:
    """Keep ReDoc from loading its logo from another host: the policy would block it and log an error in the console."""
    if response.status_code == HTTPStatus.OK and request.path.endswith(".js"):
        response.direct_passthrough = False  # so that the file's content can be replaced
        response.set_data(response.get_data().replace(LOGO, b"data:,"))
    return response
