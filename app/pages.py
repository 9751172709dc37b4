"""GET /: which run answers, since when, and how to ask it; or what to do when nothing is published."""

import json

from flask import Blueprint, current_app, render_template

from app.published import Published
from app.schemas import example

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    published: Published = current_app.extensions["published"]
    run = published.snapshot
    examples = {kind: json.dumps(example(run, kind), ensure_ascii=False) for kind in run.measures} if run else {}
    return render_template("index.html", run=run, examples=examples)
