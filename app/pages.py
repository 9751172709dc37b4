"""GET /: which run answers, since when, and how to ask it; or what to do when nothing is published."""

import json

from flask import Blueprint, current_app, render_template

from app import docs
from app.published import Published

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    published: Published = current_app.extensions["published"]
    run = published.snapshot
    examples = {kind: json.dumps(docs.example(run, kind), ensure_ascii=False) for kind in run.measures} if run else {}
    return render_template("index.html", run=run, examples=examples)
