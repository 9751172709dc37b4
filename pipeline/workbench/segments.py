"""`bench.segments`: define the segment kinds in a notebook, and save them to the file that the pipeline reads."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.rules.kinds import Kind, SegmentError, from_cuts
from pipeline.rules.segments import SEGMENTS_FILE, SegmentBook
from pipeline.workbench.suggestions import Suggestion


class Segments:
    """The kinds that were defined so far or, before the first one, those of the file."""

    def __init__(self, sizes: Callable[[str], pd.DataFrame], suggest: Callable[[str, int, bool], Suggestion]) -> None:
        """Start with the saved kinds, if there are any.

        sizes: counts the rows of a kind's segments, by segment and country. suggest: finds cuts, as `suggestions` does.
        """
        self.saved = SegmentBook.load() if SEGMENTS_FILE.exists() else SegmentBook(())
        self.book = self.saved
        self._sizes, self._suggest = sizes, suggest
        self._defined: dict[str, Kind] = {}

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds in use."""
        return self.book.kinds

    def kind(
        self,
        name: str,
        measure: str,
        cuts: Sequence[int],
        labels: Sequence[str] | None = None,
        *,
        title: str,
        because: str,
        titles: Mapping[str, str] | None = None,
        choose: str | None = None,
    ) -> pd.DataFrame:
        """Define a kind after the others, or the one of this name anew; return the kept rows of each segment.

        The segments start at 0 and at each cut. Without labels, each is named by its bounds. title: what people call
        the kind. titles: what they call segments, by label. choose: how amounts are found; without it, as the file
        says. Raises SegmentError with the kind and the remedy.
        """
        for what, words in {"title": title, "because": because}.items():
            if not words.strip():
                raise SegmentError(f"kind {name}: {what} is empty; it is shown to those who use the segments")
        try:
            segments = from_cuts(cuts, labels, titles)
        except SegmentError as error:
            raise SegmentError(f"kind {name}: {error}") from None
        saved = {kind.name: kind.choose for kind in self.saved.kinds}
        kind = Kind(name, measure, segments, choose or saved.get(name, "most_used"), title, because)
        self._defined[name] = kind
        self.book = SegmentBook(tuple(self._defined.values()), self.saved.lottery, self.saved.holdout)
        return self._sizes(name)

    def suggest(self, name: str, most: int = 6, by_country: bool = False) -> Suggestion:
        """Suggest cuts for the kind of this name, up to `most` segments, for all countries or for each.

        Raises SegmentError or BacktestError.
        """
        return self._suggest(name, most, by_country)

    def save(self, path: Path = SEGMENTS_FILE) -> Path:
        """Write the kinds that were defined to the file that the pipeline reads, and return its path.

        The file's lottery and holdout stay as they are. Raises SegmentError if no kind was defined.
        """
        if not self._defined:
            raise SegmentError("no kind is defined; call `bench.segments.kind(…)` before `save()`")
        self.book.save(path)
        return path
