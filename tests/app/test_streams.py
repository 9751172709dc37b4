"""How a download ends: its place is given back, whatever becomes of it."""

import gc
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from app.web.streams import Places, TooManyDownloadsError, stream


def chunks() -> Generator[bytes, None, None]:
    yield b"a"
    yield b"b"


def broken() -> Generator[bytes, None, None]:
    yield b"a"
    raise OSError


def free(places: Places) -> bool:
    """Whether there is a place; it is given back."""
    try:
        with places.one():
            return True
    except TooManyDownloadsError:
        return False


def begin(places: Places, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Stream the chunks from a place."""
    place = ExitStack()
    place.enter_context(places.one())
    return stream(chunks, place, 60)


def test_a_place_is_given_back_on_any_error() -> None:
    """And only one that was taken."""
    places = Places(1, TooManyDownloadsError)
    for _ in range(2):
        with pytest.raises(OSError), places.one():
            with pytest.raises(TooManyDownloadsError), places.one():
                pass
            raise OSError


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("closed", [True, False])
def test_a_stream_gives_its_place_back(taken: int, closed: bool) -> None:
    """Closed, even twice, or forgotten by the server; after any chunk or none."""
    places = Places(1, TooManyDownloadsError)
    begun = begin(places, chunks())
    assert b"".join(next(begun) for _ in range(taken)) == b"ab"[:taken]
    assert not free(places)
    if closed:
        begun.close()
        begun.close()
    else:
        del begun
        gc.collect()
    assert free(places)


def test_a_stream_that_ended_or_broke_gives_its_place_back(capfd: pytest.CaptureFixture[str]) -> None:
    """The error goes on to the server, after a line in the log."""
    places = Places(1, TooManyDownloadsError)
    assert b"".join(begin(places, chunks())) == b"ab"
    begun = begin(places, broken())
    with pytest.raises(OSError):
        list(begun)
    assert "download cut off" in "".join(capfd.readouterr())
    assert free(places)
