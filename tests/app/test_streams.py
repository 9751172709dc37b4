"""How a download ends: its place is given back once, whatever becomes of it."""

import gc
from collections.abc import Generator

import pytest

from app.web.streams import Places, Stream, TooManyDownloadsError


def chunks() -> Generator[bytes, None, None]:
    yield b"a"
    yield b"b"


def broken() -> Generator[bytes, None, None]:
    yield b"a"
    raise OSError


def test_a_place_is_given_back_on_any_error() -> None:
    """And only one that was taken."""
    places = Places(1, TooManyDownloadsError)
    for _ in range(2):
        with pytest.raises(OSError), places.one():
            with pytest.raises(TooManyDownloadsError), places.one():
                pass
            raise OSError


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_stream_ends_once(taken: int) -> None:
    """Closed twice, and forgotten after that: at any point, begun or not."""
    ends: list[int] = []
    stream = Stream(chunks(), lambda: ends.append(1), 60)
    assert b"".join(next(stream) for _ in range(taken)) == b"ab"[:taken]
    assert not ends
    stream.close()
    stream.close()
    del stream
    gc.collect()
    assert ends == [1]


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_forgotten_stream_ends_too(taken: int) -> None:
    """Without a word from the server."""
    ends: list[int] = []
    stream = Stream(chunks(), lambda: ends.append(1), 60)
    for _ in range(taken):
        next(stream)
    del stream
    gc.collect()
    assert ends == [1]


def test_a_broken_stream_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    """The error goes on to the server, after a line in the log."""
    stream = Stream(broken(), lambda: None, 60)
    with pytest.raises(OSError):
        list(stream)
    assert "download cut off" in "".join(capfd.readouterr())
