"""A download releases its slot at its end, whatever the reason."""

import gc
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from app.web.streams import Slots, TooManyDownloadsError, stream


def chunks() -> Generator[bytes, None, None]:
    yield b"a"
    yield b"b"


def broken() -> Generator[bytes, None, None]:
    yield b"a"
    raise OSError


def free(slots: Slots) -> bool:
    """Whether there is a free slot; it is released again."""
    try:
        with slots.take():
            return True
    except TooManyDownloadsError:
        return False


def begin(slots: Slots, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Stream the chunks in a slot."""
    slot = ExitStack()
    slot.enter_context(slots.take())
    return stream(chunks, slot, 60)


def test_a_slot_is_released_on_any_error() -> None:
    """And only one that was taken."""
    slots = Slots(1, TooManyDownloadsError)
    for _ in range(2):
        with pytest.raises(OSError), slots.take():
            with pytest.raises(TooManyDownloadsError), slots.take():
                pass
            raise OSError


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("closed", [True, False])
def test_a_stream_releases_its_slot(taken: int, closed: bool) -> None:
    """Closed, even twice, or forgotten by the server; after any chunk or none."""
    slots = Slots(1, TooManyDownloadsError)
    begun = begin(slots, chunks())
    assert b"".join(next(begun) for _ in range(taken)) == b"ab"[:taken]
    assert not free(slots)
    if closed:
        begun.close()
        begun.close()
    else:
        del begun
        gc.collect()
    assert free(slots)


def test_a_stream_that_ended_or_failed_releases_its_slot(capfd: pytest.CaptureFixture[str]) -> None:
    """The error goes on to the server, after a line in the log."""
    slots = Slots(1, TooManyDownloadsError)
    assert b"".join(begin(slots, chunks())) == b"ab"
    begun = begin(slots, broken())
    with pytest.raises(OSError):
        list(begun)
    assert "download cut off" in "".join(capfd.readouterr())
    assert free(slots)
