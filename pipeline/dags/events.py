"""The assets of the DAG: the history that it reads, and the answers that it publishes, for DAGs scheduled by them."""

import logging
from typing import Any

from airflow.sdk import Asset, AssetAlias

from pipeline import run
from pipeline.dags.steps import attempt

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
    extra = {"run_id": run_id, "published_at": published_at, **news.model_dump(exclude={"at"})}
    context["outlet_events"][PUBLICATIONS].add(ANSWERS, extra=extra)
