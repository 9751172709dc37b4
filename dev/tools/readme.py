"""The tables of README.md: cog prints them there (`make tables`)."""

from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from shared.definitions import bounds_text


def rules() -> None:
    """Print the cleaning rules."""
    print("| rule | drops a row when | because | expected share of all rows |\n|---|---|---|---|")
    for rule in RuleBook.load().rules:
        low, high = rule.share
        print(f"| `{rule.name}` | `{rule.drop_when}` | {rule.because} | {low:.0%} to {high:.0%} |")


def segments() -> None:
    """Print the kinds with their segments."""
    print("| kind | measure | segments, bounds included | because |\n|---|---|---|---|")
    for kind in SegmentBook.load().kinds:
        named = ((s.label, bounds_text(s.lower, s.upper), s.lower) for s in kind.segments)
        bounds = (label if label == text else f"{label} (from {lower})" for label, text, lower in named)
        print(f"| `{kind.name}` | `{kind.measure}` | {', '.join(bounds)} | {kind.because} |")
