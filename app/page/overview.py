"""What the page tells from memory: the country that it is about, and the answer to a customer tried on it."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import current_app, request, url_for

from app.errors import CustomerError
from app.published.snapshot import Snapshot, UnknownCountryError
from app.voucher.customer import MEASURED, Customer
from app.voucher.explanation import Explanation
from app.voucher.routes import answer
from app.voucher.schemas import example
from app.web import problems
from shared.countries import country_key, is_blank

FORM = ("segment_name", "total_orders", "last_order_ts")  # its fields, except the country
LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
DIGITS = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Trial:
    """A customer as the form has it, and what /voucher says to that: an answer, or what is wrong, by field."""

    fields: Mapping[str, str]
    answer: Explanation | None = None
    errors: Mapping[str, str] = field(default_factory=dict)  # under "" what is no field's fault
    command: str = ""


def country(run: Snapshot, given: str) -> str:
    """As stored; the one with most rows where none is given. Raises UnknownCountryError."""
    if is_blank(given):
        return run.countries[0]
    key = country_key(given)
    found = next((known for known in run.countries if country_key(known) == key), None)
    if found is None:
        raise UnknownCountryError(given, run.countries)
    return found


def trial(run: Snapshot, country_code: str, given: Mapping[str, str]) -> Trial:
    """Of the customer `given`, or of an example where none is."""
    shown = {} if "segment_name" in given else example(run, next(iter(run.measures)))
    fields = {name: str(given.get(name, shown.get(name, ""))).removesuffix(" 00:00:00") for name in FORM}
    kind = fields["segment_name"]
    measured = MEASURED.get(run.measures.get(kind, ""))
    needed = {measured: _value(fields[measured])} if measured else {}
    body = json.dumps({"country_code": country_code, "segment_name": kind, **needed}, ensure_ascii=False)
    try:
        _, told = answer(Customer.from_json(body.encode()), run, run.reference_day, explained=True)
    except CustomerError as error:
        problem = problems.from_error(error)
        errors = {wrong.field: wrong.detail for wrong in problem.errors}
        return Trial(fields, errors=errors or {"": problem.detail})
    return Trial(fields, Explanation.model_validate_json(told), command=curl(body))


def _value(text: str) -> int | str | None:
    """What stands for it in JSON."""
    return int(text) if DIGITS.fullmatch(text.strip()) else text.strip() or None


def curl(body: str) -> str:
    """Return the curl command for the same request. It sends a key over HTTPS or to this machine only."""
    keys = current_app.extensions["settings"].api_keys
    away = re.sub(r":\d+$", "", request.host) not in LOOPBACK
    scheme = "https" if keys and away else None  # None: the one by which the page was requested
    lines = [
        f"curl {shlex.quote(url_for('voucher.voucher', explain='true', _external=True, _scheme=scheme))}",
        "--header 'Content-Type: application/json'",
        *(['--header "Authorization: Bearer $VOUCHER_API_KEY"'] if keys else []),
        f"--data-raw {shlex.quote(body)}",
    ]
    return " \\\n  ".join(lines)
