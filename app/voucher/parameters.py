"""The query parameters of /voucher and /vouchers, and the check of a run's id, which the reports use too."""

import re

from flask import current_app, request

from app.errors import BadValue, BadValuesError
from app.published.reader import reader
from app.published.runs import RecordedRuns
from app.published.snapshot import Snapshot

RUN_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False}


def run_id(value: str) -> str:
    """Return the value if it may be a run's id, otherwise raise ValueError."""
    if not RUN_ID.fullmatch(value):
        raise ValueError("must be a run's id: 16 hexadecimal digits in lower case; /runs lists them")
    return value


def wants_explanation() -> bool:
    """Return the value of the query parameter `explain`. Raises BadValuesError."""
    given = request.args.getlist("explain")
    if not given:
        return False
    if len(given) > 1 or given[0].lower() not in YES_OR_NO:
        raise BadValuesError(BadValue("explain", "must be true, false, 1 or 0, and be given once", (", ".join(given),)))
    return YES_OR_NO[given[0].lower()]


def named_run() -> Snapshot | None:
    """Return the run that the query parameter `run` names; None if it is not given.

    Raises BadValuesError, DatabaseUnavailableError, or the errors of `RecordedRuns.find`.
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
    return recorded.find(reader("tables"), wanted)
