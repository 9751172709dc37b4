"""What a publication changed, for those who hear of it. Called by `run.py`."""

from datetime import datetime

from pipeline.publish.changes.compare import changes
from pipeline.publish.changes.models import Model
from pipeline.publish.database import Database


class News(Model):
    """A publication, and what it changed. Times are UTC."""

    at: datetime
    previous_run_id: str | None
    rows_in: int
    rows_kept: int
    answers: int
    differing: int
    """How many answers differ from those of the previous run."""


def find_news(database: Database, run_id: str) -> News | None:
    """Return the publication of the run if it is the published one, and was not when it was planned last.

    Both times are of the database's clock. A task that is killed after it published a run finds its news when it is
    tried again.
    """
    with database.transaction() as cursor:
        cursor.execute(
            """SELECT at, previous_run_id FROM voucher.current_run JOIN voucher.run USING (run_id)
                JOIN voucher.publication USING (run_id) WHERE run_id = %s AND at = published_at AND at >= planned_at""",
            (run_id,),
        )
        publication = cursor.fetchone()
    if not publication:
        return None
    found = changes(database, run_id, publication.previous_run_id)
    counts = {name: getattr(found.planned, name) for name in ("rows_in", "rows_kept", "answers")}
    return News(**publication._asdict(), **counts, differing=found.differing)
