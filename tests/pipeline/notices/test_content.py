"""What a notice says of a publication, a force, a rollback and a refusal: JSON, and text for Slack and Teams."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from subprocess import CompletedProcess
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.notices.content import RunNotice, TestNotice, schema
from pipeline.notices.text import MAX_LINES, lines, links
from proofs.support.notice_receiver import NoticeReceiver, Received
from tests.conftest import ROOT
from tests.pipeline.conftest import FREQUENT, RECENCY
from tests.pipeline.notices.conftest import MANY, PAGE, answer, few

Command = Callable[..., CompletedProcess[str]]
ANSWERS = len(FREQUENT) + len(RECENCY)
# Customers with few orders elsewhere, a newer history, and a country that is gone.
LATVIA = {"country_code": "Latvia", "voucher_amount": 7.0}


@pytest.fixture
def told(command: Command, receiver: NoticeReceiver) -> Callable[..., list[Received]]:
    """Return a function that runs a command with the receiver, and returns what it got during that."""

    def call(*words: str, code: int = 0, **environ: str) -> list[Received]:
        before = len(receiver.got)
        given = {"VOUCHER_NOTIFY_URL": receiver.url, "VOUCHER_PAGE_URL": f"{PAGE}/", "LOGNAME": "ana"}
        result = command(*words, **given | environ)
        assert result.returncode == code, result.stderr
        return receiver.got[before:]

    return call


Told = Callable[..., list[Received]]


def test_a_publication_has_its_answers_old_and_new(told: Told, source: Callable[..., str]) -> None:
    """The JSON has who did it, the counts, the definitions that differ, and each answer that differs, old → new."""
    (first,) = told("run", "--source", source(2640.0))
    (second,) = told("run", "--source", source(4400.0))
    body = second.json
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "run.published"
    assert datetime.fromisoformat(body["timestamp"]).tzinfo
    data = body["data"]
    assert data.pop("source").endswith("4400.0-0.parquet")
    assert data == {
        "run_id": data["run_id"],
        "previous_run_id": first.json["data"]["run_id"],
        "action": "publish",
        "actor": "ana",
        "reason": None,
        "overridden_audits": [],
        "rows_in": 5,
        "rows_kept": 5,
        "data_to": "2020-05-15T18:59:21.102761Z",
        "definitions": [],
        "compared": ANSWERS,
        "differing": 1,
        "answers": [answer(2640, 4400)],
        "url": f"{PAGE}/history/{data['run_id']}",
        "approve_url": None,
    }
    assert b'"old":2640,"new":4400}' in second.body  # without .0
    assert second.headers["content-type"] == "application/json"
    assert re.fullmatch(r"msg_[0-9a-f]{32}", second.id)
    assert second.id != first.id


def test_the_first_publication_replaces_nothing(told: Told, source: Callable[..., str]) -> None:
    """The first run has no previous one: all its answers are new."""
    (found,) = told("run", "--source", source(2640.0), VOUCHER_PAGE_URL="")
    data = found.json["data"]
    assert (data["previous_run_id"], data["url"], data["differing"]) == (None, None, ANSWERS)
    assert answer(None, 2640) in data["answers"]


def test_a_rollback_has_its_reason_and_the_answers_reversed(told: Told, source: Callable[..., str]) -> None:
    """A rollback tells which run is published again instead of which, and why."""
    (first,), (second,) = (told("run", "--source", source(amount)) for amount in (2640.0, 4400.0))
    (found,) = told("rollback", first.json["data"]["run_id"], "--reason", "Peru complained")
    assert found.json["type"] == "run.rolled_back"
    data = found.json["data"]
    assert (data["run_id"], data["previous_run_id"]) == (first.json["data"]["run_id"], second.json["data"]["run_id"])
    assert (data["action"], data["actor"], data["reason"]) == ("rollback", "ana", "Peru complained")
    assert data["answers"] == [answer(4400, 2640)]


def test_a_refusal_names_the_audits_and_a_force_its_reason(told: Told, source: Callable[..., str]) -> None:
    """A refused run is told with the audits that failed; publishing it by force is told with the reason and with them.
    A force that overrides no audit names none.
    """
    (first,) = told("run", "--source", source(1.0, *few(1.0), LATVIA))
    without_latvia = source(2.0)
    (found,) = told("run", "--source", without_latvia, code=3)
    assert found.json["type"] == "run.refused"
    data = found.json["data"]
    assert (data["previous_run_id"], data["actor"]) == (first.json["data"]["run_id"], None)
    assert (data["action"], data["overridden_audits"]) == (None, [])
    assert data["reason"] == "countries_remain: Latvia has no answer any more"
    assert data["differing"] == 1 + ANSWERS
    (forced,) = told("run", "--source", without_latvia, "--force", "Latvia is closed")
    assert forced.json["type"] == "run.published"
    told_of = forced.json["data"]
    assert (told_of["action"], told_of["actor"], told_of["reason"]) == ("force", "ana", "Latvia is closed")
    assert told_of["overridden_audits"] == ["countries_remain"]
    assert told_of["answers"] == data["answers"]
    (again,) = told("run", "--source", source(3.0), "--force", "new prices")
    assert (again.json["data"]["action"], again.json["data"]["overridden_audits"]) == ("force", [])


def test_a_refusal_has_no_rows_of_the_history(told: Told, source: Callable[..., str], command: Command) -> None:
    """The example rows of a failed audit are in the error and the log, but not in a notice, which a chat shows."""
    rows = [{"total_orders": "many", "voucher_amount": 31337.0}, *MANY]
    (found,) = told("run", "--source", source(1.0, *rows), code=3)
    assert "rule_shares: unreadable_total_orders matched 1 of 4 rows" in found.json["data"]["reason"]
    assert b"31337" not in found.body
    assert b"e.g." not in found.body
    assert "31337" in command("run", "--source", source(1.0, *rows)).stderr


def test_a_plan_tells_nobody(told: Told, source: Callable[..., str]) -> None:
    """`plan` leaves no notice, neither of a run that would be published nor of one that is refused."""
    assert told("plan", "--source", source(2640.0)) == []
    assert told("plan", "--source", source(1.0, {"total_orders": "many"}), code=1) == []


def test_nothing_new_is_not_told(told: Told, source: Callable[..., str]) -> None:
    """A run that was published already is not told again."""
    told("run", "--source", source(2640.0))
    assert told("run", "--source", source(2640.0)) == []


def test_the_text_for_slack(told: Told, source: Callable[..., str], receiver: NoticeReceiver) -> None:
    """Slack gets a title, who and why, the counts, the answers and a link, with its control characters escaped."""
    slack = {"VOUCHER_NOTIFY_FORM": "slack"}
    first, second = (told("run", "--source", source(amount), **slack)[0].json["text"] for amount in (2640.0, 4400.0))
    run_id, previous = (re.search(r"run ([0-9a-f]{16}) is", text)[1] for text in (second, first))  # type: ignore[index]
    assert first.splitlines()[:4] == [
        f"*Voucher Select: run {previous} is published*",
        "By ana",
        "5 of 5 rows are kept; the newest is of 2020-05-15",
        f"{ANSWERS} answers; no run was published before",
    ]
    assert second.splitlines() == [
        f"*Voucher Select: run {run_id} is published*",
        "By ana",
        "5 of 5 rows are kept; the newest is of 2020-05-15",
        f"1 of {ANSWERS} answers differ from those of run {previous}",
        f"Peru, frequent_segment, {FREQUENT[0]} orders: 2640 → 4400",
        f"<{PAGE}/history/{run_id}|What changed>",
    ]
    (found,) = told("rollback", previous, "--reason", "<!channel> & \n *x*", **slack)
    title, who, *_ = found.json["text"].splitlines()
    assert title == f"*Voucher Select: run {previous} is published again by a rollback*"
    assert who == "By ana: &lt;!channel&gt; &amp; *x*"
    assert "Peru, frequent_segment" in found.json["text"]


def test_the_text_of_a_refusal(told: Told, source: Callable[..., str]) -> None:
    """The text of a refusal says what would have changed, and which run stays published."""
    (first,) = told("run", "--source", source(1.0, *few(1.0), LATVIA))
    (found,) = told("run", "--source", source(2.0), code=3, VOUCHER_NOTIFY_FORM="slack")
    title, why, _, summary, *answers, link = found.json["text"].splitlines()
    assert title.endswith("was refused and is not published*")
    assert why == "Failed audits: countries_remain: Latvia has no answer any more"
    stays = f"those of run {first.json['data']['run_id']}, which stays published"
    assert summary == f"{1 + ANSWERS} of {2 * ANSWERS} answers would differ from {stays}"
    assert answers[0] == f"Latvia, frequent_segment, {FREQUENT[0]} orders: 7 → no answer"
    assert (len(answers), answers[-1]) == (MAX_LINES + 1, f"and {1 + ANSWERS - MAX_LINES} more answers")
    assert link.startswith(f"<{PAGE}/history/")


def test_the_card_for_teams(told: Told, source: Callable[..., str]) -> None:
    """Teams gets an adaptive card whose texts know no Markdown, and a link as a button."""
    (found,) = told("run", "--source", source(2640.0), "--force", "*bold*", VOUCHER_NOTIFY_FORM="teams")
    message = found.json
    (attachment,) = message["attachments"]
    assert message["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.2")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    texts = [inline["text"] for block in card["body"] for inline in block["inlines"]]
    assert re.fullmatch(r"Voucher Select: run [0-9a-f]{16} is published", texts[0])
    assert texts[1] == "Forced by ana: *bold*"
    assert not any("audits" in text for text in texts)
    ((action,)) = card["actions"]
    assert (action["type"], action["title"]) == ("Action.OpenUrl", "What changed")
    assert action["url"].startswith(f"{PAGE}/history/")
    assert len(found.body) < 28 * 1024  # Teams refuses larger ones


def test_bodies_are_as_the_schema_says(told: Told, source: Callable[..., str]) -> None:
    """Each kind of notice is valid by docs/notice.schema.json, which is up to date, and has no field that it doesn't
    describe; a receiver that validates by it accepts the fields of later versions.
    """
    assert (ROOT / "docs" / "notice.schema.json").read_text() == schema(), "run: make tables"
    found = [
        *told("run", "--source", source(1.0, *few(1.0), LATVIA)),
        *told("run", "--source", source(2.0), code=3),
        *told("notify", "--test"),
    ]
    assert [each.json["type"] for each in found] == ["run.published", "run.refused", "run.test"]
    ours: TypeAdapter[Any] = TypeAdapter(RunNotice | TestNotice)
    for each in found:
        ours.validate_python(each.json | {"id": each.id})
        later = each.json | {"new": 1, "data": each.json["data"] | {"new": 1}}
        for body in (each.json, later):
            jsonschema.validate(body, json.loads(schema()))
        with pytest.raises(ValidationError):
            ours.validate_python(later | {"id": each.id})
    broken = found[0].json | {"type": "run.other"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads(schema()))


def notice(kind: str = "run.waiting", **changes: Any) -> RunNotice:
    data = {
        **dict.fromkeys(("previous_run_id", "action", "actor", "reason", "rows_in", "rows_kept", "data_to", "url")),
        **{"run_id": "a" * 16, "source": "s", "definitions": [], "compared": 0, "differing": 0, "answers": []},
        **{"overridden_audits": [], "approve_url": None},
    }
    return RunNotice.model_validate(
        {"id": "msg_1", "type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data | changes}
    )


def test_what_approval_tells() -> None:
    """A run that waits has nobody who did it; one that a person refuses is told by whom."""
    waiting, refused = (
        notice(compared=3, actor="airflow"),
        notice("run.refused", actor="ana", reason="refused in Airflow"),
    )
    assert list(lines(waiting)) == [
        f"Voucher Select: run {'a' * 16} waits for approval in Airflow",
        "3 answers; no run is published",
    ]
    assert list(lines(refused))[1] == "By ana: refused in Airflow"
    assert list(links(waiting)) == []


def test_the_links_of_a_text() -> None:
    """A run that waits links to where to approve it, and each notice of a run to what changed; a test to the page."""
    waiting = notice(approve_url="http://a/required_actions", url="http://v/history/a")
    assert list(links(waiting)) == [
        ("Approve or reject it", "http://a/required_actions"),
        ("What changed", "http://v/history/a"),
    ]
    assert list(links(TestNotice.by("ana", "http://v"))) == [("The page", "http://v")]


def test_the_text_of_a_force() -> None:
    """The text of a force names who, why, and the audits that it overrode; that of an approval doesn't say forced."""
    forced = notice("run.published", action="force", actor="ana", reason="closed", overridden_audits=["a", "b"])
    assert list(lines(forced))[1:3] == ["Forced by ana: closed", "In spite of failed audits: a, b"]
    approved = notice("run.published", action="publish", actor="ana", reason="approved in Airflow")
    assert list(lines(approved))[1] == "By ana: approved in Airflow"


def test_long_and_odd_texts_stay_readable() -> None:
    """A line has no line breaks and at most 300 characters; of many definitions, the first are shown."""
    many = notice(
        "run.rolled_back",
        actor="ana",
        reason="x\n\u202ey" * 400,
        definitions=[f"rule {number}" for number in range(30)],
    )
    found = list(lines(many))
    assert found[1].startswith("By ana: x yx y")
    assert len(found[1]) == 301
    assert found[-2:] == ["rule 9", "and 20 more changes of rules and segments"]
