"""`python -m pipeline plan`: load and audit a run, and show what publishing it would change."""

import logging
import os
import shlex
from typing import Any

from pipeline import PipelineError, run
from pipeline.commands.output import write
from pipeline.publish import publication
from pipeline.publish.changes.log import log_plan
from pipeline.publish.changes.markdown import markdown
from pipeline.publish.changes.models import Changes
from pipeline.publish.database import Database
from pipeline.publish.guard import Outcome
from pipeline.settings import Settings, page_url
from shared.addresses import redact

log = logging.getLogger("pipeline")


def plan(options: Any) -> None:
    """Show the changes as text, JSON or Markdown. Raises RunRejected, after they are shown, if an audit fails."""
    settings = Settings.read(options.source)
    run_id = run.plan(settings)
    if blocked := run.blocked(settings, run_id):
        if options.form and blocked is not Outcome.WITHDRAWN:  # it may not be loaded, so nothing can be compared
            raise PipelineError(f"run {run_id} {blocked}; run again")
        if options.form:
            _show(options, run.preview(settings, run_id, blocked))
        log.info("run %s %s", run_id, blocked)
        return
    run.load(settings, run_id)
    try:
        run.audit(settings, run_id, announce=False)
    finally:
        _show(options, run.preview(settings, run_id))
    if publication.current(Database(settings.database_url)) != run_id:
        named = options.source if options.source == redact(options.source or "") else "…"
        again = f"run --source {shlex.quote(named)}" if options.source else "run"
        log.info("nothing is published; publish it with `python -m pipeline %s`", again)


def _show(options: Any, changes: Changes) -> None:
    if options.form == "json":
        write(changes.model_dump_json(indent=2))
    elif options.form == "markdown":
        write(markdown(changes))
    else:
        log_plan(changes, page_url(os.environ))
