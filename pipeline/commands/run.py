"""`python -m pipeline run`: run all steps, and publish the answers."""

from typing import Any

from pipeline import run as steps
from pipeline.audits.runner import RunRejected
from pipeline.commands.output import write
from pipeline.commands.results import RunResult
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
    (found,) = latest(Database(settings.database_url), 1, run_id)
    news = steps.news(settings, run_id)
    return RunResult(run_id=run_id, status=found["status"], current=found["current"], published=news)
