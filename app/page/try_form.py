"""The form for one customer, and the answer to it."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import current_app, request, url_for

from app.errors import CustomerError
from app.published.segment import Kind, Segment
from app.published.snapshot import Snapshot
from app.voucher.customer import MEASURED, Customer, utc_day
from app.voucher.explanation import Explanation
from app.voucher.routes import answer
from app.voucher.schemas import example
from app.web import problems

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
    row: Segment | None = None  # of the answer
    errors: Mapping[str, str] = field(default_factory=dict)  # the key "" has an error of no single field
    command: str = ""


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
        remedies = _remedies(run, fields)
        errors = {wrong.field: remedies.get(wrong.field, wrong.detail) for wrong in problem.errors}
        return TryForm(fields, errors=errors or {"": problem.detail})
    found = Explanation.model_validate_json(explanation)
    key = (found.country_code, name, found.segment)
    rows = (row for row in run.segments if (row.country_code, row.segment_name, row.segment) == key)
    return TryForm(fields, found, next(rows, None), command=curl(body))


def _remedies(run: Snapshot, fields: Mapping[str, str]) -> dict[str, str]:
    """Return what to do in the form about each field whose value can't be read. The API's words are for programs."""
    found = {"segment_name": "choose what the voucher depends on"}
    for each in measured_fields(run):
        value = fields.get(each.name, "").strip()
        if not value:
            found[each.name] = f"enter the {each.asks_for}"
        elif not each.is_day:
            found[each.name] = f"enter the {each.asks_for} as a whole number, 0 or more"
        elif not _is_day(value):
            found[each.name] = f"enter the {each.asks_for} like 2018-05-03"
    return found


def _is_day(value: str) -> bool:
    try:
        return utc_day(value) is not None
    except ValueError:
        return False


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
