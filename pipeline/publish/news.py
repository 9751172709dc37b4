"""What a publication changed, for those who hear of it. Called by `run.py`."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.publish.database import Database


@dataclass(frozen=True)
class News:
    """A publication, as its time (UTC) and the run that it replaced; None if none was published."""

    at: datetime
    previous: str | None


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
        row = cursor.fetchone()
        return News(row.at, row.previous_run_id) if row else None
