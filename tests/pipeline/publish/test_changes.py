"""What publishing a run would change, as text, JSON and Markdown: definitions, counts, and answers where bounds moved."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import mistune
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import run
from pipeline.publish.changes.markdown import MAX_ROWS, escape, markdown
from pipeline.publish.changes.models import Answer, Changes, Compared, FailedAudit, Run, schema
from pipeline.publish.changes.text import text
from pipeline.rules.kinds import Kind, from_cuts
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.rules.segments import SegmentBook
from pipeline.settings import Settings
from tests.conftest import ROOT
from tests.pipeline.conftest import history

Command = Callable[..., CompletedProcess[str]]
Define = Callable[..., None]

FEW = Rule("few_orders", "total_orders < 2", "Too few to say anything.", (0.0, 0.5))
DAYS = [str(date(2020, 5, 1) + timedelta(days=day)) for day in range(12)]
# Customers with 20 and 40 orders, who used another amount each, on twelve days.
ROWS = [
    {"timestamp": day, "total_orders": orders, "voucher_amount": amount}
    for day in DAYS
    for orders, amount, times in (("3", 100.0, 2), ("20", 300.0, 3), ("40", 200.0, 2), ("90", 500.0, 1))
    for _ in range(times)
]


def kind(*cuts: int, **others: Any) -> Kind:
    return Kind("frequent_segment", "total_orders", from_cuts(cuts), **others)


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Define:
    """Return a function that sets the rules and the kinds of the next run."""

    def define(*kinds: Kind, rules: tuple[Rule, ...] = (FEW,)) -> None:
        RuleBook(rules).save(tmp_path / "rules.toml")
        SegmentBook(kinds).save(tmp_path / "segments.toml")
        monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
        monkeypatch.setattr(run, "SEGMENTS_FILE", tmp_path / "segments.toml")

    return define


@pytest.fixture
def planned(
    define: Define, settings: Callable[..., Settings], written: Callable[..., Path], command: Command
) -> Callable[..., CompletedProcess[str]]:
    """Publish one definition of rules and segments; return a function that plans the same rows with another one."""
    source = written(history(*ROWS))
    define(kind(11, 60))
    run.run(settings(source), "test")

    def plan(*words: str, kinds: tuple[Kind, ...], rules: tuple[Rule, ...] = (FEW,)) -> CompletedProcess[str]:
        define(*kinds, rules=rules)
        return command("plan", "--source", str(source), *words)

    return plan


def test_a_moved_bound_shows_who_gets_another_amount(planned: Callable[..., CompletedProcess[str]]) -> None:
    """A split segment is compared by its parts: those whose amount stays and those whose amount changes."""
    found = json.loads(planned("--json", kinds=(kind(11, 30, 60),)).stdout)

    assert found["definitions"] == ["frequent_segment: 11-59 becomes 11-29 and 30-59"]
    assert (found["compared"], found["differing"]) == (4, 1)
    same, changed = found["answers"]
    assert (same["customers"], same["lower"], same["upper"], same["differs"]) == ("11-29", 11, 29, False)
    assert (changed["customers"], changed["unit"], changed["differs"]) == ("30-59", "orders", True)
    assert (changed["old"]["amount"], changed["new"]["amount"]) == (300, 200)
    assert (changed["old"]["segment"], changed["old"]["uses"], changed["old"]["rows"]) == ("11-59", 36, 60)
    assert (changed["new"]["uses"], changed["new"]["rows"], changed["new"]["sends"]) == (24, 24, 12)
    assert changed["old"]["share_low"] <= 0.6 <= changed["old"]["share_high"]


def test_text_has_the_same_comparison(planned: Callable[..., CompletedProcess[str]]) -> None:
    """The tables of `plan` name the definitions in words, and mark each part of a split segment as changed or not."""
    found = planned(kinds=(kind(11, 30, 60),)).stdout
    assert "- frequent_segment: 11-59 becomes 11-29 and 30-59" in found
    assert "1 of 4 answers differ" in found
    assert re.search(r"Peru +frequent_segment +11-29 orders +300 \(36 of 60, 60 to 60 %\) +=  +300 \(36 of 36, ", found)
    assert re.search(r"Peru +frequent_segment +30-59 orders +300 \(36 of 60, 60 to 60 %\) +→  +200 \(24 of 24, ", found)


def test_a_run_without_changes_has_none(planned: Callable[..., CompletedProcess[str]]) -> None:
    """A plan of the published run says so in each form, and lists neither definitions nor answers."""
    found = Changes.model_validate_json(planned("--json", kinds=(kind(11, 60),)).stdout)
    assert found.is_published
    assert (found.definitions, found.answers, found.differing) == ([], [], 0)
    assert "Nothing: run `" in (said := planned("--markdown", kinds=(kind(11, 60),)).stdout)
    assert "|" not in said


def test_rules_and_kinds_that_come_and_go(planned: Callable[..., CompletedProcess[str]]) -> None:
    """A new kind and a changed rule are told in words; the answers of a new kind are new."""
    tenure = Kind("tenure_segment", "days_since_first_order", from_cuts([100]), title="Days since the first order")
    fewer = replace(FEW, drop_when="total_orders < 4")
    found = json.loads(planned("--json", kinds=(kind(11, 60), tenure), rules=(fewer,)).stdout)
    assert found["definitions"] == [
        "rule few_orders drops rows where total_orders < 4; before, where total_orders < 2",
        "new kind tenure_segment (Days since the first order): 0-99, 100+",
    ]
    assert {(each["kind"], each["old"] is None) for each in found["answers"]} >= {("tenure_segment", True)}
    assert found["rules"] == [
        {"rule": "few_orders", "old_matched": 0, "new_matched": 24, "old_dropped": 0, "new_dropped": 24}
    ]


def test_another_measure_is_not_compared(planned: Callable[..., CompletedProcess[str]]) -> None:
    """If a kind measures something else, its old answers end and its new ones begin, each with its own unit."""
    other = replace(kind(11, 60), measure="days_since_last_order")
    found = json.loads(planned("--json", kinds=(other,)).stdout)
    assert [each["unit"] for each in found["answers"]] == ["orders"] * 3 + ["days"] * 3
    assert [each["new"] is None for each in found["answers"]] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("form", ["--json", "--markdown"])
def test_a_failed_audit_is_in_the_output(planned: Callable[..., CompletedProcess[str]], form: str) -> None:
    """If an audit fails, the whole output is there, with the audit; the log and the error are on stderr, exit code 1."""
    result = planned(form, kinds=(kind(11, 60),), rules=(replace(FEW, drop_when="total_orders < 30"),))
    assert result.returncode == 1
    assert "error: run " in result.stderr
    assert "plan: run " in result.stderr
    assert "plan: run " not in result.stdout
    if form == "--json":
        failed = Changes.model_validate_json(result.stdout).audits
        assert [(each.audit, each.severity) for each in failed] == [
            ("rule_shares", "fail"),
            ("answers_changed", "warn"),
            ("rows_not_halved", "warn"),
        ]
    else:
        assert "**Would not be published**: `rule_shares` expects " in result.stdout
        assert "(`python -m pipeline plan` shows example rows)" in result.stdout
        assert "2020-05-01" not in result.stdout.partition("Warning")[0]  # no row of the history in a comment
        assert "Warning: `answers_changed` expects " in result.stdout


def test_a_withdrawn_run_is_compared_too(
    planned: Callable[..., CompletedProcess[str]],
    define: Define,
    settings: Callable[..., Settings],
    tmp_path: Path,
    command: Command,
) -> None:
    """After a rollback, the plan says why the run would not be published, and still what it would change."""
    define(kind(11, 30, 60))
    newer = run.run(settings(tmp_path / "history.parquet"), "test")
    first = command("runs").stdout.split(newer)[-1].split()[0]
    assert command("rollback", first, "--reason", "too fine").returncode == 0
    result = planned("--json", kinds=(kind(11, 30, 60),))
    found = Changes.model_validate_json(result.stdout)
    assert result.returncode == 0
    assert found.blocked == "is not published, because it was withdrawn by a rollback"
    assert found.differing == 1


def test_json_follows_its_schema(planned: Callable[..., CompletedProcess[str]]) -> None:
    """What `plan --json` writes is valid by the committed schema, which is that of the models."""
    path = ROOT / "docs" / "plan.schema.json"
    assert path.read_text() == schema(), "docs/plan.schema.json is out of date; run: make tables"
    found = json.loads(planned("--json", kinds=(kind(11, 30, 60),)).stdout)
    jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(found | {"compared": "many"})


def of(run_id: str, *countries: str) -> Run:
    counts = {"rows_in": 5, "rows_kept": 4, "data_from": None, "data_to": None, "answers": 3, "chosen_by_effect": 0}
    return Run(run_id=run_id, source="s3://b/h/", countries=[*countries], lottery=None, **counts)


def compared(country: str, number: int, *, differs: bool) -> Compared:
    old, new = (
        Answer(
            **{"segment": "all", "amount": amount, "uses": 2, "rows": 4, "share_low": None, "share_high": None},
            **{"sends": 3, "clear": None, "basis": "segment"},
        )
        for amount in (7, 8 if differs else 7)
    )
    bounds = {"customers": f"{number}+", "lower": number, "upper": None, "moved": True, "unit": "orders"}
    return Compared(country=country, kind="k", **bounds, differs=differs, old=old, new=new)


def changes(*answers: Compared, definitions: tuple[str, ...] = (), countries: tuple[str, ...] = ("Peru",)) -> Changes:
    return Changes(
        **{"planned": of("b", *countries), "published": of("a", "Chile"), "blocked": None, "rules": [], "policies": []},
        definitions=[*definitions],
        audits=[FailedAudit(audit="rule_shares", severity="fail", expected="less", seen=each) for each in definitions],
        compared=len(answers),
        differing=sum(each.differs for each in answers),
        answers=[*answers],
    )


RENDER = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])


@given(st.text(max_size=40).filter(str.strip))
def test_markdown_shows_any_text_as_text(odd: str) -> None:
    """A country, rule or reason of any characters adds no cell, no line, no HTML, no link and no mention."""
    shown = str(RENDER(markdown(changes(compared(odd, 3, differs=True), definitions=(f"rule {odd}",)))))
    cells = re.findall(r"<td.*?>(.*?)</td>", shown, re.DOTALL)
    line = " ".join("".join(char if char.isprintable() else " " for char in odd).split())
    assert len(cells) == 9 * 3 + 5
    assert len(re.findall("<tr>", shown)) == 2 + 9 + 1
    assert html.unescape(cells[-5]).replace("\u200b", "").strip() == line.replace("\u200b", "").strip()
    assert {tag.split()[0] for tag in re.findall(r"</?([^>]*)>", shown)} <= {
        *("h3", "p", "strong", "code", "ul", "li", "table", "thead", "tbody", "tr", "th", "td")
    }
    assert not re.search(r"[@#]\w", html.unescape(shown))


def test_what_is_escaped() -> None:
    """Punctuation with a meaning gets a backslash; users and issues are not linked; a line break becomes a blank."""
    assert escape("a|b `c`\n<d>") == r"a\|b \`c\` \<d\>"
    assert escape("@ana #5") == r"\@&#8203;ana \#&#8203;5"


def test_a_long_table_ends_with_how_many_more() -> None:
    """Markdown lists at most 60 answers, first those that differ; text lists all."""
    many = changes(*(compared("Peru", number, differs=number % 2 == 0) for number in range(MAX_ROWS + 10)))
    found = markdown(many)
    assert len(re.findall(r"^\| Peru \|", found, re.MULTILINE)) == MAX_ROWS
    assert "| 68+ orders |" in found
    assert "| 69+ orders |" not in found
    assert "and 10 more: `python -m pipeline plan` lists them" in found
    assert len(re.findall(r"^Peru ", text(many), re.MULTILINE)) == MAX_ROWS + 10


def test_countries_of_one_run_are_named() -> None:
    """Countries that only one of the runs has are named, at most five of them."""
    named = text(changes(countries=tuple("ABCDEFG")))
    assert re.search(r"countries in only one run +Chile +A, B, C, D, E, 2 more", named)


def test_before_anything_is_published(define: Define, command: Command, written: Callable[..., Path]) -> None:
    """The first plan compares with nothing: all answers are new, and no definition differs."""
    define(kind(11))
    source = str(written(history(*ROWS)))
    found = Changes.model_validate_json(command("plan", "--json", "--source", source).stdout)
    assert (found.published, found.definitions, found.differing) == (None, [], 2)
    assert "**2 of 2 answers are new** in run `" in command("plan", "--markdown", "--source", source).stdout
    assert command("plan", "--json", "--markdown", "--source", source).returncode == 2
