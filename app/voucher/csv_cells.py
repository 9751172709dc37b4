"""Write values as CSV cells that no spreadsheet treats as a formula. Used by `campaign` and the reports."""

import re

# A spreadsheet treats a cell that starts with one of these as a formula, also in full width: OWASP, "CSV Injection".
FORMULA = re.compile(r"\s*[-+=@\uff0b\uff0d\uff1d\uff20]|[\t\r\n]")


def cell(value: object) -> object:
    """Return a value as `csv.writer` should get it: a boolean in lower case, and "'" before text like a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
