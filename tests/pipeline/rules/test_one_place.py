"""Rules are only in rules.toml and bounds only in segments.toml, not in code or on a page."""

import io
import re
import tokenize
from pathlib import Path

import pytest

from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from tests.conftest import ROOT

FILES = sorted(
    path
    for folder in ("pipeline", "app", "shared")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".sql", ".html", ".js"} and "__pycache__" not in path.parts
)
RULES = RuleBook.load().rules
SEGMENTS = [segment for kind in SegmentBook.load().kinds for segment in kind.segments]


def numbers(line: str) -> set[int]:
    """Return the whole numbers in a line of any of these languages."""
    return {int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.])", line)}


def code_and_texts(path: Path) -> str:
    """Return the file without Python's docstrings and comments, which may explain by example."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    kept, before = [], tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        docstring = token.type == tokenize.STRING and before in {tokenize.NEWLINE, tokenize.INDENT, tokenize.NL}
        if token.type != tokenize.COMMENT and not docstring:
            kept.append(token)
        before = token.type
    return tokenize.untokenize(kept)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_no_rule_and_no_bound_stands_in_code(path: Path) -> None:
    """No file repeats a rule's name or condition, a segment's label or a pair of bounds."""
    text = code_and_texts(path)
    typed = [rule.name for rule in RULES if rule.name in text]
    typed += [str(rule.drop_when) for rule in RULES if str(rule.drop_when) in " ".join(text.split())]
    typed += [
        segment.label for segment in SEGMENTS if re.search(rf"(?<![\w-]){re.escape(segment.label)}(?![\w-])", text)
    ]
    for segment in SEGMENTS:
        bounds = {segment.lower, segment.upper}
        typed += [f"bounds of {segment.label}: {line.strip()}" for line in text.splitlines() if bounds <= numbers(line)]
    assert not typed, f"{path.relative_to(ROOT)} repeats what rules.toml or segments.toml say: {typed}"
