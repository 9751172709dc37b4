"""What the page shows from memory: the selected country, and the answer for a customer."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import current_app, request, url_for

from app.errors import CustomerError
from app.published.segment import Kind
from app.published.snapshot import Snapshot
from app.voucher.customer import MEASURED, Customer
from app.voucher.explanation import Explanation
from app.voucher.routes import answer
from app.voucher.schemas import example
from app.web import problems
from shared.countries import is_blank

FORM = ("segment_name", *MEASURED)  # fields of the form, except the country
LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
DIGITS = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class MeasuredField:
    """A field of the form, and the kinds that need it."""

    name: str
    asks_for: str  # such as "number of orders"
    is_day: bool
    kinds: Sequence[Kind]


@dataclass(frozen=True)
class TryForm:
    """A customer in the form, and the result of /voucher: an answer, or errors by field."""

    fields: Mapping[str, str]
    answer: Explanation | None = None
    errors: Mapping[str, str] = field(default_factory=dict)  # the key "" has an error of no single field
    command: str = ""


def country(run: Snapshot, given: str) -> str:
    """Return the name of a country as stored; if none is given, the one with most rows.

    Raises the errors of `Snapshot.country`.
    """
    return run.countries[0] if is_blank(given) else run.country(given)


def measured_fields(run: Snapshot) -> list[MeasuredField]:
    """Return the fields that the run's kinds measure, in the order of the kinds."""
    of_field: dict[str, list[Kind]] = {}
    for kind in run.kinds:
        of_field.setdefault(kind.field, []).append(kind)
    return [
        MeasuredField(
            name, f"day of {since}" if (since := kinds[0].since) else f"number of {kinds[0].unit}", bool(since), kinds
        )
        for name, kinds in of_field.items()
    ]


def try_customer(run: Snapshot, country_code: str, given: Mapping[str, str]) -> TryForm:
    """Return the filled form and its result. Without a customer in `given`, an example is used."""
    default = {} if "segment_name" in given else example(run, run.kinds[0].segment_name)
    fields = {name: str(given.get(name, default.get(name, ""))).removesuffix(" 00:00:00") for name in FORM}
    name = fields["segment_name"]
    value = {kind.field: _value(fields.get(kind.field, "")) for kind in run.kinds if kind.segment_name == name}
    body = json.dumps({"country_code": country_code, "segment_name": name, **value}, ensure_ascii=False)
    try:
        *_, explanation = answer(Customer.from_json(body.encode()), run, run.reference_day, explained=True)
    except CustomerError as error:
        problem = problems.from_error(error)
        empty = {
            each.name: f"enter the {each.asks_for}"
            for each in measured_fields(run)
            if not fields.get(each.name, "").strip()
        }
        errors = {wrong.field: empty.get(wrong.field, wrong.detail) for wrong in problem.errors}
        return TryForm(fields, errors=errors or {"": problem.detail})
    return TryForm(fields, Explanation.model_validate_json(explanation), command=curl(body))


def _value(text: str) -> int | str | None:
    """Convert a form value to its JSON value: a number, a text, or None if it is empty."""
    return int(text) if DIGITS.fullmatch(text.strip()) else text.strip() or None


def curl(body: str) -> str:
    """Return a curl command for the same request. A key is only sent over HTTPS or to this machine."""
    keys = current_app.extensions["settings"].api_keys
    remote = re.sub(r":\d+$", "", request.host) not in LOOPBACK
    scheme = "https" if keys and remote else None  # None: the scheme of this request
    lines = [
        f"curl {shlex.quote(url_for('voucher.voucher', explain='true', _external=True, _scheme=scheme))}",
        "--header 'Content-Type: application/json'",
        *(['--header "Authorization: Bearer $VOUCHER_API_KEY"'] if keys else []),
        f"--data-raw {shlex.quote(body)}",
    ]
    return " \\\n  ".join(lines)
