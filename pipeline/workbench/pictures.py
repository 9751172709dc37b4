"""What the workbench's pictures share. matplotlib is imported only here and only to draw: the pipeline has none.

A picture is a matplotlib figure. It is not kept by pyplot, so a notebook shows it once: as the last value of a cell, or
by `display`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from pipeline.rules.segments import SegmentBook

GREY, ROW, PANEL = "#8a8a8a", 0.28, 2.1  # row and panel in inches
BARS = 40  # over a measure, about
FEW = 30  # vouchers: a bar of fewer is left out
COLORS = ["#2f6f8f", "#d1843c", "#5a8f4e", "#a2564f", "#7a6aa8", "#c9b037", "#58b0b8"]  # of the most used amounts


def figure(width: float = 9, height: float = 3.6) -> Any:
    """Return an empty figure, in inches."""
    from matplotlib import pyplot  # noqa: PLC0415 - not in the pipeline's image

    drawn = pyplot.figure(figsize=(width, height), layout="constrained")
    pyplot.close(drawn)
    return drawn


def title(drawn: Any, text: str) -> None:
    """Write the figure's title, which says in words what the picture shows."""
    drawn.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")


@dataclass(frozen=True)
class Panels:
    """A panel for each country, with a line for each segment.

    figure: matplotlib's. axes: by country. segments: kind and label, from top to bottom, at the places 0, 1, ….
    """

    figure: Any
    axes: dict[str, Any]
    segments: list[tuple[str, str]]

    @staticmethod
    def colors(name: str) -> Any:
        """Return matplotlib's color map of this name, with grey for a missing value."""
        from matplotlib import colormaps  # noqa: PLC0415

        return colormaps[name].with_extremes(bad="#dddddd")


def panels(countries: Sequence[str], book: SegmentBook, heading: str, xlabel: str) -> Panels:
    """Draw the empty panels for segment kinds and countries (one or more of each)."""
    segments = [(kind.name, segment.label) for kind in book.kinds for segment in kind.segments]
    drawn = figure(max(9, 1.6 + PANEL * len(countries)), max(2.8, 0.9 + ROW * len(segments)))
    title(drawn, heading)
    drawn.supxlabel(xlabel, fontsize=9)
    axes = drawn.subplots(1, max(1, len(countries)), sharex=True, sharey=True, squeeze=False)[0]
    axes[0].set_yticks(range(len(segments)), [label for _, label in segments])
    axes[0].set_ylim(len(segments) - 0.4, -0.6)
    starts = [segments.index((kind.name, kind.segments[0].label)) for kind in book.kinds]
    for country, axis in zip(countries, axes, strict=False):
        axis.set_title(country, fontsize=10, fontweight="normal", loc="left")
        for start in starts[1:]:
            axis.axhline(start - 0.5, color=GREY, linewidth=0.8)
    for kind, start in zip(book.kinds, starts, strict=True):
        axes[0].annotate(
            kind.measure.replace("_", " ").replace("since ", "since\n"),
            (0, start + (len(kind.segments) - 1) / 2),
            (-62, 0),
            xycoords=axes[0].get_yaxis_transform(),
            textcoords="offset points",
            rotation=90,
            fontsize=9,
            ha="center",
            va="center",
        )
    return Panels(drawn, dict(zip(countries, axes, strict=False)), segments)


def write_answer(axis: Any, place: int, before: float, after: float) -> None:
    """Write an answer at the right of a line of a panel whose scale is %: in bold, both amounts, if it changes.

    Amounts may be missing. Call it for each line of a panel.
    """
    names = [f"{amount:.10g}" if pd.notna(amount) else "none" for amount in (before, after)]
    changes = names[0] != names[1]
    style = {"fontweight": "bold"} if changes else {"color": GREY}
    text = " → ".join(names) if changes else names[0]
    axis.text(198, place, text, ha="right", va="center", fontsize=8, **style)
    axis.set_xlim(0, 200)
    axis.set_xticks([0, 50, 100])


class Shown:
    """Something that a notebook shows as sentences and frames. Subclasses have `__str__` and `frames`."""

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the frames to show, by their headings."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what IPython shows."""
        sentences = escape(str(self)).replace("\n", "<br>")
        tables = (f"<h4>{escape(name)}</h4>{frame.to_html()}" for name, frame in self.frames().items())
        return {"text/plain": str(self), "text/html": f"<p>{sentences}</p>{''.join(tables)}"}


def over_measure(
    rows: pd.DataFrame, measure: str, suggested: Mapping[str, Sequence[int]], today: Sequence[int], heading: str
) -> Any:
    """Return a figure with the mix of amounts over a measure, a panel for each country, and two sets of cuts.

    Columns of rows: country_code, voucher_amount, measure (0 or more). The bars are equally wide, so that cuts close to
    each other can be told apart. Bars of fewer than FEW vouchers are left out.
    """
    of_country = rows.groupby("country_code")["voucher_amount"].value_counts().groupby("country_code").head(2)
    amounts = of_country.groupby("voucher_amount").max().sort_values(ascending=False).index
    shown = sorted(amounts[: len(COLORS)])
    starts = _starts(rows["measure"], {*today, *(cut for cuts in suggested.values() for cut in cuts)})
    drawn = figure(9, 1.3 + 1.35 * max(1, len(suggested)))
    title(drawn, heading)
    axes = drawn.subplots(max(1, len(suggested)), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (country, cuts) in zip(axes, suggested.items(), strict=False):
        own = rows[rows["country_code"] == country]
        bar = pd.Series(starts.searchsorted(own["measure"], side="right") - 1, own.index)
        bar = bar[bar.groupby(bar).transform("size") >= FEW]
        amount = own["voucher_amount"].where(own["voucher_amount"].isin(shown), -1)[bar.index]
        share = pd.crosstab(bar, amount, normalize="index").mul(100).reindex(columns=[*shown, -1], fill_value=0)
        bottom = share.cumsum(axis=1) - share
        for number, column in enumerate(share):
            color = "#c8c8c8" if column == -1 else COLORS[number]
            axis.bar(share.index, share[column], 1, bottom[column], align="edge", color=color, alpha=0.75)
        axis.vlines(starts.searchsorted(today), 0, 100, color="black", linestyle=":", linewidth=1.6)
        places = starts.searchsorted(cuts)
        axis.vlines(places, 0, 118, color="black", linewidth=1.8, clip_on=False)
        for number, (cut, place) in enumerate(zip(cuts, places, strict=True)):
            axis.text(place, 121, cut, fontsize=8, ha=_side(places.tolist(), number, len(starts) / 30), va="bottom")
        axis.set_ylabel(country, fontsize=10)
        axis.set_yticks([0, 50, 100])
    axes[0].set_ylim(0, 100)
    axes[0].set_xlim(0, len(starts))
    ticks = range(0, len(starts), max(1, -(-len(starts) // 25)))
    axes[-1].set_xticks(ticks, [str(starts[tick]) for tick in ticks])
    axes[-1].set_xlabel(f"{measure}: where each bar starts; bars of fewer than {FEW} vouchers are left out")
    drawn.supylabel("% of the vouchers with this amount", fontsize=9)
    bars = [(f"{amount:.10g}", COLORS[number]) for number, amount in enumerate(shown)] + [("others", "#c8c8c8")]
    handles = [axes[0].bar(0, 0, color=color, alpha=0.75, label=label) for label, color in bars]
    handles += axes[0].plot([], [], color="black", linewidth=1.8, label="suggested")
    handles += axes[0].plot([], [], color="black", linestyle=":", linewidth=1.6, label="in use")
    drawn.legend(handles=handles, loc="outside right center", fontsize=8)
    return drawn


def _side(places: Sequence[int], number: int, width: float) -> str:
    """Return how a label at one of the places is aligned, so that it does not touch one that is within `width`."""
    before = number > 0 and places[number] - places[number - 1] <= width
    after = number + 1 < len(places) and places[number + 1] - places[number] <= width
    return "center" if before == after else "left" if before else "right"


def _starts(measure: "pd.Series[int]", cuts: set[int]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return where the bars start: at 0, at each cut, and between them so that they hold about as many rows each."""
    equal = measure.groupby(measure.rank(method="first", pct=True).mul(BARS).clip(upper=BARS - 1).astype(int)).min()
    starts = np.array(sorted({0, *cuts, *equal}), dtype=np.int64)
    filled = np.isin(np.arange(len(starts)), starts.searchsorted(measure, side="right") - 1)
    needed = np.isin(starts, [0, *cuts]) | np.roll(filled, 1)  # a bar after an empty one that no cut ends is part of it
    return starts[needed]
