"""How two versions of rules and segments differ, in words and as intervals."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.definitions import Kind, Rule, Segment, bounds_text, intervals
from shared.differences import changes, kind_changes, rule_changes

FEW = Rule("few_orders", "total_orders < 3", "Too few.", (0.0, 0.15))
MANY = Rule("many_orders", "total_orders > 900", "Too many.", (0.0, 0.01))
BUILT_IN = [Rule(f"unreadable_{name}", None, "Not readable.", (0.0, 0.0)) for name in ("timestamp", "cluster")]


def segments(*cuts: int, labels: tuple[str, ...] = ()) -> tuple[Segment, ...]:
    bounds = [*pairwise([0, *cuts]), ([0, *cuts][-1], None)]
    inclusive = [(lower, upper if upper is None else upper - 1) for lower, upper in bounds]
    names = labels or [bounds_text(*each) for each in inclusive]
    return tuple(Segment(label, *each) for label, each in zip(names, inclusive, strict=True))


def kind(*cuts: int, labels: tuple[str, ...] = (), **others: str) -> Kind:
    return Kind(**{"name": "k", "measure": "total_orders"} | others, segments=segments(*cuts, labels=labels))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([FEW], [FEW], []),
        (
            [FEW],
            [FEW, MANY],
            ["rule many_orders is new: drops rows where total_orders > 900 (Too many.); expects 0 % to 1 %"],
        ),
        ([FEW, MANY], [MANY], ["rule few_orders is gone: dropped rows where total_orders < 3"]),
        (
            [FEW],
            [replace(FEW, drop_when="total_orders < 4")],
            ["rule few_orders drops rows where total_orders < 4; before, where total_orders < 3"],
        ),
        (
            [FEW],
            [replace(FEW, share=(0.001, 0.2))],
            ["rule few_orders expects 0.1 % to 20 %; before, 0 % to 15 %"],
        ),
        (
            [FEW],
            [replace(FEW, because="Rare.")],
            ['the reason of rule few_orders is "Rare."; before, "Too few."'],
        ),
        ([FEW, MANY], [MANY, FEW], ["the rules are in another order: many_orders, few_orders"]),
        (BUILT_IN, BUILT_IN[:1], []),
        (
            BUILT_IN,
            [replace(rule, share=(0, 0.01)) for rule in BUILT_IN],
            ["unreadable values: expects 0 % to 1 %; before, 0 % to 0 %"],
        ),
    ],
)
def test_rules(old: list[Rule], new: list[Rule], said: list[str]) -> None:
    """Each difference of the rules has one line, which gives both versions; built-in reasons have one together."""
    assert list(rule_changes(old, new)) == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (kind(7, 20), kind(7, 20), []),
        (kind(7, 20, 50), kind(7, 20, 30, 50), ["k: 20-49 becomes 20-29 and 30-49"]),
        (kind(7, 20, 50), kind(20, 50), ["k: 0-6 and 7-19 become 0-19"]),
        (kind(7, 20, 50), kind(50), ["k: 0-6, 7-19 and 20-49 become 0-49"]),
        (kind(7, 20, 50), kind(7, 20, 52), ["k: 20-49 and 50+ become 20-51 and 52+"]),
        (
            kind(7, 20, 50),
            kind(8, 20, 30, 50),
            ["k: 0-6 and 7-19 become 0-7 and 8-19", "k: 20-49 becomes 20-29 and 30-49"],
        ),
        (kind(7, labels=("few", "7+")), kind(9, labels=("few", "7+")), ["k: 7+ starts at 9 (was 7)"]),
        (
            kind(7, 20, labels=("a", "b", "c")),
            kind(9, 22, labels=("a", "b", "c")),
            ["k: b starts at 9 (was 7)", "k: c starts at 22 (was 20)"],
        ),
        (kind(7, labels=("0-6", "6+")), kind(7), ["k: 6+ (7+) is called 7+"]),
        (kind(7, labels=("a", "b")), kind(7, labels=("b", "a")), ["k: a (0-6) is called b", "k: b (7+) is called a"]),
        (kind(1), kind(1, 2), ["k: 1+ becomes 1 and 2+"]),
        (kind(7, labels=("a", "b")), kind(7, 9, labels=("a", "b", "c")), ["k: b (7+) becomes b (7-8) and c (9+)"]),
        (
            kind(7),
            kind(7, measure="days_since_last_order"),
            ["k: measures days_since_last_order; before, total_orders"],
        ),
        (kind(7), kind(7, choose="best_effect"), ["k: choose is best_effect; before, most_used"]),
        (kind(7, title="Orders"), kind(7), ['k: the title is none; before, "Orders"']),
        (kind(7), kind(7, because="A test."), ['k: the reason is "A test."; before, none']),
    ],
)
def test_kinds(old: Kind, new: Kind, said: list[str]) -> None:
    """Each difference of a kind has one line; splits and merges follow from the bounds, whatever the labels say."""
    assert list(kind_changes([old], [new])) == said


def test_titles_of_segments() -> None:
    """A title is compared with that of the same label, or of the same bounds if the label is new."""
    old = replace(kind(7), segments=(Segment("0-6", 0, 6, "newcomers"), Segment("7+", 7, None, "regulars")))
    new = replace(kind(7), segments=(Segment("0-6", 0, 6), Segment("loyal", 7, None, "regulars")))
    assert list(kind_changes([old], [new])) == [
        "k: 7+ is called loyal",
        'k: the title of 0-6 is none; before, "newcomers"',
    ]


def test_kinds_that_come_and_go() -> None:
    """A new kind is told with its title or measure and its segments; one that is gone with its segments."""
    tenure = kind(90, name="tenure", measure="days_since_first_order")
    assert changes(([], [kind(7)]), ([], [tenure])) == [
        "new kind tenure (days since first order): 0-89, 90+",
        "kind k is gone: 0-6, 7+",
    ]
    assert list(kind_changes([], [replace(tenure, title="Days since the first order")])) == [
        "new kind tenure (Days since the first order): 0-89, 90+"
    ]
    assert list(kind_changes([kind(7), tenure], [tenure, kind(7)])) == ["the kinds are in another order: tenure, k"]


CUTS = st.lists(st.integers(1, 500), unique=True, max_size=8).map(sorted)


@given(CUTS, CUTS)
def test_each_changed_bound_is_told(old: list[int], new: list[int]) -> None:
    """Every cut that only one version has stands in a line; the same cuts give no line."""
    said = "\n".join(kind_changes([kind(*old)], [kind(*new)]))
    assert bool(said) == (old != new)
    for cut in {*old} ^ {*new}:
        assert f"{cut}-" in said or f"{cut}+" in said or f" {cut}" in said, (cut, said)


@given(CUTS, CUTS)
def test_intervals_refine_both_versions(old: list[int], new: list[int]) -> None:
    """The intervals cover all numbers once, and each is within one segment of both versions, which it names."""
    before, after = segments(*old), segments(*new)
    found = intervals(before, after)
    assert [each.lower for each in found] == sorted({0, *old, *new})
    assert [each.upper for each in found] == [*(each.lower - 1 for each in found[1:]), None]
    for each in found:
        for side, all_sides in ((each.old, before), (each.new, after)):
            assert side in all_sides
            assert side.lower <= each.lower
            assert side.upper is None or (each.upper is not None and each.upper <= side.upper)
        assert each.is_moved == (each.old != each.new)


def test_an_interval_is_labelled_by_its_segment_or_its_bounds() -> None:
    """A segment that both versions have keeps its label; a part of one is labelled by its bounds."""
    old, new = segments(7, 90, labels=("few", "7-89", "89+")), segments(7, 30, 90, labels=("few", "a", "b", "89+"))
    assert [each.label for each in intervals(old, new)] == ["few", "7-29", "30-89", "89+"]
    assert [each.label for each in intervals(old, ())] == ["few", "7-89", "89+"]
    assert [(each.old, each.new, each.is_moved) for each in intervals((), segments())] == [
        (None, Segment("0+", 0, None), True)
    ]
    assert intervals((), ()) == []
