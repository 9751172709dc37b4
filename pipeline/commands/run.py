"""`python -m pipeline run`: run all steps, and publish the answers."""

from typing import Any

from pipeline import run as steps
from pipeline.audits.runner import RunRejected
from pipeline.commands.output import write
from pipeline.commands.results import Published, RunResult
from pipeline.publish.changes.compare import changes
from pipeline.publish.database import Database
from pipeline.publish.listing import latest
from pipeline.settings import Settings


def run(options: Any, actor: str) -> None:
    """Run all steps; with --json, write a RunResult. Raises RunRejected, after the result, if an audit fails."""
    settings = Settings.read(options.source)
    try:
        run_id = steps.run(settings, actor, options.force)
    except RunRejected as rejected:
        _show(options, settings, rejected.run_id)
        raise
    _show(options, settings, run_id)


def _show(options: Any, settings: Settings, run_id: str) -> None:
    if options.form == "json":
        write(_result(settings, run_id).model_dump_json(indent=2))


def _result(settings: Settings, run_id: str) -> RunResult:
    database, news = Database(settings.database_url), steps.news(settings, run_id)
    (found,) = latest(database, 1, run_id)
    status: Any = "current" if found["current"] else found["status"]
    if news is None:
        return RunResult(run_id=run_id, status=status, published=None)
    change = changes(database, run_id, news.previous)
    counts = {name: getattr(change.planned, name) for name in ("rows_in", "rows_kept", "answers")}
    published = Published(at=news.at, previous_run_id=news.previous, differing=change.differing, **counts)
    return RunResult(run_id=run_id, status=status, published=published)
