"""Readers never see an earlier state of the source again, even if a step of an old plan runs late."""

import http.server
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline import run
from pipeline.publish import pruning, publication
from pipeline.publish.database import Database
from pipeline.publish.guard import Outcome
from pipeline.settings import Settings
from tests.pipeline.conftest import history

Query = Callable[..., list[tuple[Any, ...]]]
Written = Callable[..., Path]
Make = Callable[..., Settings]

CURRENT = "SELECT run_id FROM voucher.current_run"
SEEN = "SELECT * FROM voucher.current_run"


def planned(settings: Settings, *steps: str) -> str:
    """Plan a run, execute these steps, and return its run_id."""
    run_id = run.plan(settings)
    for step in steps:
        getattr(run, step)(settings, run_id)
    return run_id


@pytest.fixture
def sources(settings: Make, written: Written) -> tuple[Settings, Settings]:
    """Return the settings of an incorrect history and of its correction, which have the same times."""
    mistaken, corrected = (written(history({"voucher_amount": each}), f"{each}.parquet") for each in (1000.0, 2640.0))
    return settings(mistaken), settings(corrected)


def test_a_late_step_of_an_old_plan_does_nothing_and_says_so(
    sources: tuple[Settings, Settings], query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    """After the corrected history is published, late steps of the old run, loaded or not, do nothing and log why."""
    caplog.set_level("INFO")
    mistaken, corrected = sources
    old, new = run.run(mistaken, "test"), run.run(corrected, "test")
    before = query(SEEN)
    for keep in (2, 1):  # with its rows, then without
        pruning.prune(Database(mistaken.database_url), keep)
        caplog.clear()
        run.load(mistaken, old)
        run.audit(mistaken, old)
        assert run.publish(mistaken, old, "test") == Outcome.SUPERSEDED
        assert caplog.text.count(f"run {old} was planned before run {new}, which answers as of ") >= 2
        assert "(by test), so it is not published. `python -m pipeline run` looks at the source again" in caplog.text
    assert query("SELECT count(*) FROM voucher.assignment WHERE loaded_by = %s", old) == [(0,)]
    assert query(SEEN) == before


def test_the_later_look_at_the_source_wins_whichever_is_published_first(
    sources: tuple[Settings, Settings], query: Query
) -> None:
    """A run is published after one that was planned earlier, and not after one that was planned later."""
    mistaken, corrected = sources
    old, new = planned(mistaken, "load", "audit"), planned(corrected, "load", "audit")
    assert run.publish(mistaken, old, "test") == Outcome.PUBLISHED
    assert run.publish(corrected, new, "test") == Outcome.PUBLISHED
    assert run.publish(mistaken, old, "test") == Outcome.SUPERSEDED
    assert query(CURRENT) == [(new,)]


def test_a_source_that_has_it_again_is_published_again(sources: tuple[Settings, Settings], query: Query) -> None:
    """An earlier run that is planned again is published again, and the run published between is superseded."""
    mistaken, corrected = sources
    old, new = run.run(mistaken, "test"), run.run(corrected, "test")
    assert run.run(mistaken, "test") == old
    assert query(CURRENT) == [(old,)]
    assert run.publish(corrected, new, "test") == Outcome.SUPERSEDED


def test_a_check_counts_as_a_look_at_the_source(sources: tuple[Settings, Settings], query: Query) -> None:
    """A run is not published if the published run's source was checked after this run was planned."""
    mistaken, corrected = sources
    new = run.run(corrected, "test")
    old = planned(mistaken, "load", "audit")
    assert run.run(corrected, "test") == new
    assert run.publish(mistaken, old, "test") == Outcome.SUPERSEDED
    assert query(CURRENT) == [(new,)]


def test_a_late_publish_does_not_make_the_answers_fresh(sources: tuple[Settings, Settings], query: Query) -> None:
    """`checked_at` is when the source was last listed; repeating a step doesn't change it."""
    mistaken, _ = sources
    run_id = run.run(mistaken, "test")
    before = query(SEEN)
    assert run.publish(mistaken, run_id, "test") == Outcome.CHECKED
    assert query(SEEN) == before
    run.plan(mistaken)
    run.publish(mistaken, run_id, "test")
    assert query("SELECT checked_at FROM voucher.current_run") > [(before[0][3],)]


@pytest.fixture
def slow_server(tmp_path: Path) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """Serve the test's folder, holding each HEAD request until `told` is set; yield the address, `asked` and `told`."""
    asked, told = threading.Event(), threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def do_HEAD(self) -> None:
            asked.set()
            assert told.wait(60)
            super().do_HEAD()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked, told
        told.set()
        server.shutdown()


def test_a_plan_counts_from_when_it_looked(
    sources: tuple[Settings, Settings],
    settings: Make,
    query: Query,
    slow_server: tuple[str, threading.Event, threading.Event],
) -> None:
    """The age of a slow plan counts from its first look at the source, not from its end."""
    mistaken, corrected = sources
    address, asked, told = slow_server
    slow = settings(f"{address}/{Path(mistaken.source).name}")
    with ThreadPoolExecutor(1) as pool:
        planning = pool.submit(run.plan, slow)
        assert asked.wait(30)
        new = run.run(corrected, "test")
        told.set()
        old = planning.result(60)
    assert run.publish(slow, old, "test") == Outcome.SUPERSEDED
    assert query(CURRENT) == [(new,)]


def test_a_persons_decision_is_newer_than_a_plan_before_it(
    sources: tuple[Settings, Settings], settings: Make, written: Written, query: Query
) -> None:
    """After a rollback or force, a run that was planned before is not published; one planned afterwards is."""
    mistaken, corrected = sources
    database = Database(mistaken.database_url)
    old, new = run.run(mistaken, "test"), run.run(corrected, "test")
    third = settings(written(history({"voucher_amount": 3520.0}), "third.parquet"))
    late = planned(third, "load", "audit")

    publication.roll_back(database, old, "ana", "the corrected one was worse")
    assert run.publish(third, late, "test") == Outcome.SUPERSEDED
    assert run.publish(corrected, new, "ben", "it was not") == Outcome.PUBLISHED
    assert run.publish(third, late, "test") == Outcome.SUPERSEDED
    actions = query("SELECT run_id, action, actor, reason FROM voucher.publication ORDER BY at")[-2:]
    assert actions == [
        (old, "rollback", "ana", "the corrected one was worse"),
        (new, "force", "ben", "it was not"),
    ]
    assert run.run(third, "test") == late
    assert query(CURRENT) == [(late,)]
