"""The assets of the DAG: the history that it reads, and the answers that it publishes, for DAGs scheduled by them."""

import logging
from typing import Any

from airflow.sdk import Asset, AssetAlias

from pipeline import run
from pipeline.dags.steps import attempt
from pipeline.publish.changes.compare import changes
from pipeline.publish.database import Database
from pipeline.settings import Settings

log = logging.getLogger("pipeline")

HISTORY = Asset("voucher_history")
ANSWERS = Asset("voucher_answers")
# Airflow registers an event of each outlet when its task succeeds, and of an alias only if the task adds one.
PUBLICATIONS = AssetAlias("voucher_publications")


def announce(context: Any, run_id: str) -> None:
    """Add an event of the asset `voucher_answers` if this run was published since it was planned.

    A publication has one event: a task that was killed before it could end adds it when Airflow tries it again, and one
    that is cleared later adds none.
    """
    if not (news := attempt(run.news, run_id)):
        return
    published_at = news.at.isoformat()
    if any(event.extra.get("published_at") == published_at for event in context["inlet_events"][ANSWERS]):
        log.info("publish: the asset %s has an event of this publication already", ANSWERS.name)
        return
    found = attempt(_changes, run_id, news.previous)
    extra = {
        "run_id": run_id,
        "previous_run_id": news.previous,
        "published_at": published_at,
        "rows_in": found.planned.rows_in,
        "rows_kept": found.planned.rows_kept,
        "answers": found.planned.answers,
        "differing": found.differing,
    }
    context["outlet_events"][PUBLICATIONS].add(ANSWERS, extra=extra)


def _changes(settings: Settings, run_id: str, previous: str | None) -> Any:
    return changes(Database(settings.database_url), run_id, previous)
