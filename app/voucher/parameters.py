"""The query parameters of /voucher and /vouchers, and the check of a run's id, which the reports use too."""

import re

from flask import current_app, request
from werkzeug.datastructures import MultiDict

from app.errors import BadValue, BadValuesError
from app.published.reader import reader
from app.published.runs import DIGITS, RecordedRuns, full_id
from app.published.snapshot import Snapshot

RUN_ID = re.compile(rf"[0-9a-f]{{6,{DIGITS}}}", re.ASCII)  # or the beginning of one
FORM = f"{DIGITS} hexadecimal digits in lower case, or at least the first 6 of them"
SHORT = "A run's id, or at least 6 digits that begin the id of only one run."  # for the OpenAPI document
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False}


def run_id(value: str) -> str:
    """Return the value if it may be a run's id or begin one, otherwise raise ValueError."""
    if not RUN_ID.fullmatch(value):
        raise ValueError(f"must be a run's id: {FORM}; /runs lists the runs")
    return value


def once(values: "MultiDict[str, str]", name: str) -> str:
    """Return the value of a parameter or form field; "" if it is absent. Raises BadValuesError."""
    given = values.getlist(name)
    if len(given) > 1:
        raise BadValuesError(BadValue(name, "must be given once", (", ".join(given),)))
    return given[0] if given else ""


def yes_or_no(values: "MultiDict[str, str]", name: str) -> bool:
    """Return the value of a parameter or form field; False if it is absent. Raises BadValuesError."""
    given = values.getlist(name)
    if not given:
        return False
    if len(given) > 1 or given[0].lower() not in YES_OR_NO:
        raise BadValuesError(BadValue(name, "must be true, false, 1 or 0, and be given once", (", ".join(given),)))
    return YES_OR_NO[given[0].lower()]


def wants_explanation() -> bool:
    """Return the value of the query parameter `explain`. Raises BadValuesError."""
    return yes_or_no(request.args, "explain")


def named_run() -> Snapshot | None:
    """Return the run that the query parameter `run` names; None if it is not given.

    Raises BadValuesError, AmbiguousRunError, DatabaseUnavailableError, or the errors of `RecordedRuns.find`.
    """
    given = request.args.getlist("run")
    if not given:
        return None
    try:
        if len(given) > 1:
            raise ValueError("must be given once")
        wanted = run_id(given[0])
    except ValueError as error:
        raise BadValuesError(BadValue("run", str(error), (", ".join(given),))) from None
    recorded: RecordedRuns = current_app.extensions["recorded_runs"]
    tables = reader("tables")
    return recorded.find(tables, full_id(tables, wanted))
