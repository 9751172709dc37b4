"""The answer of a file, on disk until it is sent: only then are its length and its errors known. Used by `files`.

A response of unknown length can't tell that its end is missing: granian ends it like a complete one. And a server that
answers while it still receives would wait forever for the many clients that send everything before they read.
"""

import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from app.errors import ApiError
from app.settings import MAX_CAMPAIGN_BYTES

CHUNK = 64 * 1024  # bytes


class NoSpaceError(ApiError):
    """The disk has no space for the answer, or no file can be created there."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    type = "no-space"
    title = "No space for the file"

    def __init__(self, error: OSError) -> None:
        detail = "The server has no space for this file and its answer. Send a smaller file, or tell its operator."
        super().__init__(detail, reason=f"{error.strerror}; TMPDIR names the folder")


class TooLargeAnswerError(ApiError):
    """The answer is larger than allowed."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    type = "too-large-answer"
    title = "The answer is too large"

    def __init__(self) -> None:
        super().__init__(f"The answer has more than {MAX_CAMPAIGN_BYTES:,} bytes. Split the file.")


class Spool:
    """A temporary file without a name, so that it vanishes with the process. Use it in a `with` block."""

    def __init__(self) -> None:
        """Create the file. Raises NoSpaceError."""
        self.length = 0
        try:
            # Without a buffer, because its rest would be written, and fail again, when the file is closed.
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (__exit__ closes it)
        except OSError as error:
            raise NoSpaceError(error) from None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append the data. Raises NoSpaceError or TooLargeAnswerError."""
        self.length += len(data)
        if self.length > MAX_CAMPAIGN_BYTES:
            raise TooLargeAnswerError
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise NoSpaceError(error) from None

    def chunks(self) -> Iterator[bytes]:
        """Yield the data from its start."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            yield chunk
