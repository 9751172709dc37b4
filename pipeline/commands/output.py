"""Write to standard output. If its reader exits, as `head` does, further output is discarded and the command continues.

Used by `__main__` for the log, and by the commands for what they are asked for.
"""

import logging
import os
import sys
from typing import Any


class LogOutput(logging.StreamHandler[Any]):
    """The log, on standard output or standard error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            _discard(self.stream)
        else:
            super().handleError(record)


def write(text: str) -> None:
    """Write text and a line break."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)


def _discard(stream: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
