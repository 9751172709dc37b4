"""GET /: which run answers, since when, and how to ask it; or what to do when nothing is published."""

import json

from flask import Blueprint, Response, current_app, render_template

from app.published import Published
from app.schemas import example

# Scripts, styles, images and forms from here alone, and none of them inline.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    published: Published = current_app.extensions["published"]
    run = published.snapshot
    examples = {kind: json.dumps(example(run, kind), ensure_ascii=False) for kind in run.measures} if run else {}
    return render_template("index.html", run=run, examples=examples)


@blueprint.after_request
def stay_here(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    return response
