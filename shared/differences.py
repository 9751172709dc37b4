"""How two versions of the rules and segments differ, in words.

`pipeline` says with it what a run would change, and `app` what two runs differ in. Bounds are compared as intervals,
because labels may say anything.
"""

from collections.abc import Iterable, Iterator, Sequence

from shared.definitions import Kind, Rule, Segment, bounds_text

UNREADABLE = "unreadable values"


def changes(old: tuple[Sequence[Rule], Sequence[Kind]], new: tuple[Sequence[Rule], Sequence[Kind]]) -> list[str]:
    """Return a line for each difference of the rules and kinds of two versions; none if they are the same."""
    return [*rule_changes(old[0], new[0]), *kind_changes(old[1], new[1])]


def rule_changes(old: Sequence[Rule], new: Sequence[Rule]) -> Iterator[str]:
    """Yield a line for each difference of the rules."""
    before, after = ({rule.name: rule for rule in rules if rule.drop_when} for rules in (old, new))
    for name, rule in after.items():
        if was := before.get(name):
            yield from _of_rule(was, rule)
        else:
            yield f"rule {name} is new: drops rows where {rule.drop_when} ({rule.because}); expects {_share(rule)}"
    for name, rule in before.items():
        if name not in after:
            yield f"rule {name} is gone: dropped rows where {rule.drop_when}"
    yield from _reordered("rules", before, after)
    built_in, was_built_in = ({_share(rule) for rule in rules if not rule.drop_when} for rules in (new, old))
    if built_in and was_built_in and built_in != was_built_in:
        yield f"{UNREADABLE}: expects {_listed(sorted(built_in))}; before, {_listed(sorted(was_built_in))}"


def _of_rule(old: Rule, new: Rule) -> Iterator[str]:
    if old.drop_when != new.drop_when:
        yield f"rule {new.name} drops rows where {new.drop_when}; before, where {old.drop_when}"
    if old.share != new.share:
        yield f"rule {new.name} expects {_share(new)}; before, {_share(old)}"
    if old.because != new.because:
        yield f'the reason of rule {new.name} is "{new.because}"; before, "{old.because}"'


def kind_changes(old: Sequence[Kind], new: Sequence[Kind]) -> Iterator[str]:
    """Yield a line for each difference of the segment kinds, each begins with the kind."""
    before, after = ({kind.name: kind for kind in kinds} for kinds in (old, new))
    for name, kind in after.items():
        if was := before.get(name):
            yield from (f"{name}: {line}" for line in _of_kind(was, kind))
        else:
            called = kind.title or kind.measure.replace("_", " ")
            yield f"new kind {name} ({called}): {', '.join(map(_named, kind.segments))}"
    for name, kind in before.items():
        if name not in after:
            yield f"kind {name} is gone: {', '.join(map(_named, kind.segments))}"
    yield from _reordered("kinds", before, after)


def _of_kind(old: Kind, new: Kind) -> Iterator[str]:
    if old.measure != new.measure:
        yield f"measures {new.measure}; before, {old.measure}"
    for were, are in _blocks(old.segments, new.segments):
        yield from _of_block(were, are)
    titles = {each.label: each.title for each in old.segments} | {each.bounds: each.title for each in old.segments}
    for segment in new.segments:
        was = titles.get(segment.label, titles.get(segment.bounds, ""))
        if segment.title != was:
            yield f"the title of {segment.label} is {_quoted(segment.title)}; before, {_quoted(was)}"
    for what, is_now, was in (
        ("choose", new.choose, old.choose),
        ("the title", _quoted(new.title), _quoted(old.title)),
        ("the reason", _quoted(new.because), _quoted(old.because)),
    ):
        if is_now != was:
            yield f"{what} is {is_now}; before, {was}"


def _blocks(old: Sequence[Segment], new: Sequence[Segment]) -> Iterator[tuple[list[Segment], list[Segment]]]:
    """Yield the segments between two neighbouring bounds that both versions have."""
    common = sorted({each.lower for each in old} & {each.lower for each in new})
    for start, end in zip(common, [*common[1:], None], strict=True):
        yield (
            [each for each in old if start <= each.lower and (end is None or each.lower < end)],
            [each for each in new if start <= each.lower and (end is None or each.lower < end)],
        )


def _of_block(old: list[Segment], new: list[Segment]) -> Iterator[str]:
    if len(old) == len(new) == 1:
        if old[0].label != new[0].label:
            yield f"{_named(old[0])} is called {new[0].label}"
    elif [each.label for each in old] == [each.label for each in new]:
        for was, segment in zip(old, new, strict=True):
            if was.lower != segment.lower:
                yield f"{segment.label} starts at {segment.lower} (was {was.lower})"
    else:
        verb = "becomes" if len(old) == 1 else "become"
        yield f"{_listed(map(_named, old))} {verb} {_listed(map(_named, new))}"


def _reordered(what: str, before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    old, new = list(before), list(after)
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield f"the {what} are in another order: {', '.join(new)}"


def _named(segment: Segment) -> str:
    """Return the label, with the bounds if it doesn't say them."""
    bounds = bounds_text(segment.lower, segment.upper)
    return segment.label if segment.label == bounds else f"{segment.label} ({bounds})"


def _share(rule: Rule) -> str:
    return f"{100 * rule.share[0]:.10g} % to {100 * rule.share[1]:.10g} %"


def _quoted(text: str) -> str:
    return f'"{text}"' if text else "none"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
