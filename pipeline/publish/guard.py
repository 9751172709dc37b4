"""Whether a run may take over, and if not, why. Called by `run.py` before each step."""

import logging
from datetime import datetime
from enum import StrEnum

from pipeline.publish import publication
from pipeline.publish.database import Database

log = logging.getLogger("pipeline")


class Outcome(StrEnum):
    """The result of publishing a run, as words that follow "run ID"."""

    PUBLISHED = "is published now"
    CHECKED = "was published already; its source has been checked"
    WITHDRAWN = "is not published, because it was withdrawn by a rollback"
    SUPERSEDED = "is not published, because a newer one is"


def blocked(database: Database, run_id: str, force: str | None) -> Outcome | None:
    """Return why the run must not be published: it was rolled back, or a newer run is published. Log what to do."""
    if force:
        return None
    if left := publication.withdrawal(database, run_id):
        log.warning(
            "run %s was rolled back from at %s by %s (%s), so it is not published. To go forward to it again: "
            "`python -m pipeline rollback %s --reason …`",
            *(run_id, _time(left.at), left.actor, left.reason, run_id),
        )
        return Outcome.WITHDRAWN
    if newer := publication.superseding(database, run_id):
        log.warning(
            "run %s was planned before run %s, which answers as of %s (by %s), so it is not published. `python -m "
            "pipeline run` looks at the source again; to return to these answers: `python -m pipeline rollback %s "
            "--reason …`",
            *(run_id, newer.run_id, _time(newer.decided_at), newer.actor, run_id),
        )
        return Outcome.SUPERSEDED
    return None


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
