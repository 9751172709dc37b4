"""Write CSV as in RFC 4180, in UTF-8 and with CRLF. Text that a spreadsheet would treat as a formula is escaped.

Used by `segments` and `downloads`.
"""

import csv
import io
import re
from collections.abc import Iterable

MIMETYPE = "text/csv"
# A spreadsheet treats a cell that starts with one of these as a formula, also in full width: OWASP, "CSV Injection".
FORMULA = re.compile(r"\s*[-+=@\uff0b\uff0d\uff1d\uff20]|[\t\r\n]")


def line(values: Iterable[object]) -> str:
    """Return a line of CSV.

    None is empty, booleans are lower-case, and text that looks like a formula is prefixed with "'".
    """
    written = io.StringIO()
    csv.writer(written).writerow([_cell(value) for value in values])
    return written.getvalue()


def field(text: str) -> str:
    """Return a text as it is written in a line."""
    return line([text]).removesuffix("\r\n")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
