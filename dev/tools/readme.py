"""The tables of README.md: cog prints them there (`make tables`)."""

from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook


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
        bounds = (f"{s.label} (from {s.lower})" if s.upper is None else s.label for s in kind.segments)
        print(f"| `{kind.name}` | `{kind.measure}` | {', '.join(bounds)} | {kind.because} |")
