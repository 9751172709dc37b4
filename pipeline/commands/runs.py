"""`python -m pipeline runs`: list the runs and the publications."""

import logging
import os
from typing import Any

from tabulate import tabulate

from pipeline.commands.output import write
from pipeline.commands.results import Runs
from pipeline.publish.database import Database
from pipeline.publish.listing import latest, latest_publications
from pipeline.settings import database_url

log = logging.getLogger("pipeline")


def runs(options: Any) -> None:
    """Log both tables, the newest first; with --json, write them as Runs."""
    database = Database(database_url(os.environ))
    found = latest(database, options.limit)
    published = latest_publications(database, options.limit)
    if options.form == "json":
        write(Runs.model_validate({"runs": found, "publications": published}).model_dump_json(indent=2))
        return
    listed = [
        {
            "": "*" if run["current"] else "",
            "run": run["run_id"],
            "status": run["status"],
            "planned (UTC)": _time(run["started_at"]),
            "published (UTC)": _time(run["published_at"]),
            "rows in": _count(run["rows_in"]),
            "kept": _count(run["rows_kept"]),
            "newest row": _time(run["data_to"]),
            "source": f"{run['source']} (synthetic sample)" if run["sample"] else run["source"],
        }
        for run in found
    ]
    publications = [
        {
            "at (UTC)": _time(entry["at"]),
            "run": entry["run_id"],
            "instead of": entry["previous_run_id"] or "-",
            "by": entry["actor"],
            "action": entry["action"],
            "reason": entry["reason"] or "",
        }
        for entry in published
    ]
    if not listed:
        log.info("no run yet; `python -m pipeline run` creates one")
        return
    right = ("left", "left", "left", "left", "left", "right", "right", "left", "left")
    log.info("%s", tabulate(listed, headers="keys", disable_numparse=True, colalign=right))
    log.info("\npublications, the newest first\n\n%s", tabulate(publications, headers="keys", disable_numparse=True))


def _time(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
