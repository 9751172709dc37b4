"""CSV as RFC 4180 has it, in UTF-8: CRLF, quotes only where need be, and no text that a spreadsheet would calculate.

Used by `segments` and `downloads`.
"""

import csv
import io
import re
from collections.abc import Iterable

MIMETYPE = "text/csv"
# With these a spreadsheet takes a cell for a formula, be it typed in full width; OWASP, "CSV Injection".
FORMULA = re.compile(r"\s*[-+=@\uff0b\uff0d\uff1d\uff20]|[\t\r\n]")


def line(values: Iterable[object]) -> str:
    """None is empty, true and false are in small letters; a text that looks like a formula gets a ' before it."""
    written = io.StringIO()
    csv.writer(written).writerow([_shown(value) for value in values])
    return written.getvalue()


def field(text: str) -> str:
    """One text as it stands in a line."""
    return line([text]).removesuffix("\r\n")


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
