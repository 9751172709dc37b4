"""Progress of long steps: lines in the log, or a bar on a terminal."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import run
from pipeline.load.progress import progress
from pipeline.settings import Settings
from tests.pipeline.conftest import history

SO_FAR = r"load: 1 of 2 parts, 30 of 4,000 rows, [\d,]+ rows/s, [\d:]+ left"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _context(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log at INFO, without a pause between two lines."""
    caplog.set_level("INFO")
    monkeypatch.setattr("pipeline.load.progress.EVERY", 0)


def test_the_log_says_how_far_a_step_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without a terminal, the log shows parts, rows, speed and remaining time."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with progress("load", 2, 4000) as told:
        told.part_done()
        told.advance(30)
        assert re.fullmatch(SO_FAR, str(told))
    (line,) = caplog.messages
    assert re.fullmatch(SO_FAR, line)


def test_before_the_first_row_nobody_knows_how_long() -> None:
    """Before the first row, the remaining time is shown as a question mark."""
    with progress("plan", 2, 4000, "bytes") as told:
        assert re.fullmatch(r"plan: 0 of 2 parts, 0 of 4,000 bytes, 0 bytes/s, \? left", str(told))


def test_a_terminal_shows_a_bar_and_the_log_stays_short(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a terminal, a bar is shown until the step ends, and the log gets no line."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("load", 2, 4000) as told:
        told.part_done()
        told.advance(30)
    assert "load: 1 of 2 parts" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
    assert not caplog.messages


def test_a_run_says_how_far_each_step_is(
    written: Callable[..., Path], settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A run logs bytes while it inspects parts, and rows while it loads them."""
    for name in "ab":
        written(history(*[{"country_code": name}] * 5), f"{name}.parquet")
    run.run(settings(f"{tmp_path}/"), "test")
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    steps = [rf"plan: . of 2 parts, {size:,} of {size:,} bytes, ", "load: . of 2 parts, 10 of 10 rows, "]
    assert [any(re.match(step, line) for line in caplog.messages) for step in steps] == [True, True], caplog.text
