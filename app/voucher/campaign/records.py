"""Read the records of a CSV file, one after the other, however long the file is. Used by `columns` and `files`."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import BinaryIO, NamedTuple

from app.errors import ApiError

MAX_RECORD = 64 * 1024  # characters of a record; a customer takes about 100
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
NOT_UTF_8 = re.compile("[\ud800-\udfff]")  # what an invalid byte is read as; UTF-8 can't have these characters
TOO_LONG = f"a record may have at most {MAX_RECORD:,} characters"
UNREADABLE = 'quotes must stand around a whole cell and be closed, and a quote in such a cell must be doubled: ""'


class NotUTF8Error(ApiError):
    """The file has another encoding than UTF-8."""

    status = HTTPStatus.BAD_REQUEST
    type = "not-utf-8"
    title = "The file is not UTF-8"

    def __init__(self, line: int) -> None:
        super().__init__(
            f'Line {line:,} is not UTF-8. In Excel, save the file as "CSV UTF-8 (Comma delimited)"; a workbook '
            "(.xlsx) can't be read."
        )


class Record(NamedTuple):
    """The cells of a record, which may have several lines. If it can't be read, its only cell is its first line."""

    line: int  # its first line in the file, from 1
    cells: list[str]
    problem: str = ""  # why it can't be read


class Lines:
    """The lines of a UTF-8 file, with their ends: LF, CRLF or CR. Lines can be put back."""

    def __init__(self, file: BinaryIO) -> None:
        # An invalid byte is read as a character that UTF-8 can't have. An exception would not know the line.
        self._text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        self._again: deque[str] = deque()
        self.number = 0  # of the line read last

    def read(self) -> str:
        """Return the next line; "" at the end. One longer than MAX_RECORD is cut off. Raises NotUTF8Error."""
        line = self._again.popleft() if self._again else self._next()
        if line:
            self.number += 1
            if not line.isascii() and NOT_UTF_8.search(line):
                raise NotUTF8Error(self.number)
        return line

    def put_back(self, lines: Sequence[str]) -> None:
        """Have these lines, which were read last, read again."""
        self._again.extendleft(reversed(lines))
        self.number -= len(lines)

    def _next(self) -> str:
        line = piece = self._text.readline(MAX_RECORD)
        while len(piece) == MAX_RECORD and not piece.endswith(("\n", "\r")):
            piece = self._text.readline(MAX_RECORD)
        return line


class Records:
    """The records of a file. `separator` can be set before each."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines = Lines(file)
        self.separator = ","

    def __iter__(self) -> Iterator[Record]:
        """Yield the records. Raises NotUTF8Error."""
        while record := self.read():
            yield record

    def peek(self, separator: str) -> Record | None:
        """Return the next record as it would be read with this separator."""
        before, self.separator = self.separator, separator
        taken: list[str] = []
        record = self.read(taken)
        self._lines.put_back(taken)
        self.separator = before
        return record

    def read(self, taken: list[str] | None = None) -> Record | None:
        """Return the next record, and append its lines to `taken`; None at the end. Raises NotUTF8Error.

        If a quote opens that is not closed as it should, only the line with this quote is unreadable.
        """
        taken = [] if taken is None else taken
        line = self._lines.read()
        if not line:
            return None
        taken.append(line)
        number, text = self._lines.number, line.rstrip("\r\n")
        if len(line) == MAX_RECORD:
            return Record(number, [text], TOO_LONG)
        if '"' not in line:
            return Record(number, text.split(self.separator))
        try:
            return Record(number, next(csv.reader(self._quoted(taken), delimiter=self.separator, strict=True)))
        except csv.Error:
            self._lines.put_back(taken[1:])
            del taken[1:]
            return Record(number, [text], UNREADABLE)

    def _quoted(self, taken: list[str]) -> Iterator[str]:
        """Yield the line in `taken`, then further ones. Raises csv.Error if they are too long for a record."""
        yield taken[0]
        length = len(taken[0])
        while line := self._lines.read():
            taken.append(line)
            length += len(line)
            if length > MAX_RECORD:
                raise csv.Error
            yield line
