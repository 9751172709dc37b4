"""A notice as plain text and links, for a chat."""

from collections.abc import Iterator

from pipeline.notices.content import Change, Data, Notice, RunNotice

MAX_LINES = 10  # of answers, and of definitions
MAX_LINE = 300  # characters of a line
TITLES = {
    "run.published": "run {} is published",
    "run.rolled_back": "run {} is published again by a rollback",
    "run.refused": "run {} was refused and is not published",
    "run.waiting": "run {} waits for approval in Airflow",
}


def lines(notice: Notice) -> Iterator[str]:
    """Yield the notice as lines, without its links. The first one is its title."""
    for line in _run(notice) if isinstance(notice, RunNotice) else _test(notice):
        clean = " ".join("".join(char if char.isprintable() else " " for char in line).split())
        yield clean if len(clean) <= MAX_LINE else f"{clean[:MAX_LINE]}…"


def links(notice: Notice) -> Iterator[tuple[str, str]]:
    """Yield the name and the URL of each link of the notice."""
    if isinstance(notice, RunNotice) and notice.data.approve_url:
        yield "Approve or reject it", notice.data.approve_url
    if notice.data.url:
        yield "What changed" if isinstance(notice, RunNotice) else "The page", notice.data.url


def _test(notice: Notice) -> Iterator[str]:
    yield "Voucher Select: a test of this receiver"
    yield f"By {notice.data.actor}. Nothing was published or changed."


def _run(notice: RunNotice) -> Iterator[str]:
    data, happened = notice.data, notice.type in {"run.published", "run.rolled_back"}
    yield f"Voucher Select: {TITLES[notice.type].format(data.run_id)}"
    if notice.type != "run.waiting":
        yield f"{_who(notice)}: {data.reason}" if data.reason else _who(notice)
    if data.overridden_audits:
        yield f"In spite of failed audits: {', '.join(data.overridden_audits)}"
    if data.rows_in is not None and data.rows_kept is not None:
        newest = f"; the newest is of {data.data_to:%Y-%m-%d}" if data.data_to else ""
        yield f"{data.rows_kept:,} of {data.rows_in:,} rows are kept{newest}"
    yield _summary(data, happened=happened)
    yield from _first(data.definitions, len(data.definitions), "changes of rules and segments")
    yield from _first([_change(each) for each in data.answers], data.differing, "answers")


def _who(notice: RunNotice) -> str:
    if not notice.data.actor:
        return "Failed audits"
    return f"{'Forced by' if notice.data.action == 'force' else 'By'} {notice.data.actor}"


def _summary(data: Data, *, happened: bool) -> str:
    if not data.previous_run_id:
        return f"{data.compared:,} answers; no run {'was published before' if happened else 'is published'}"
    differ = f"{data.differing:,} of {data.compared:,} answers {'' if happened else 'would '}differ"
    stays = "" if happened else ", which stays published"
    return f"{differ} from those of run {data.previous_run_id}{stays}"


def _change(change: Change) -> str:
    """Return country, kind and customers, and the amounts old → new."""
    old, new = ("no answer" if each is None else f"{each.normalize():f}" for each in (change.old, change.new))
    return f"{change.country}, {change.kind}, {change.customers}: {old} → {new}"


def _first(found: list[str], number: int, what: str) -> Iterator[str]:
    yield from found[:MAX_LINES]
    if number > MAX_LINES:
        yield f"and {number - MAX_LINES:,} more {what}"
