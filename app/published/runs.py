"""Any run on record, by its id or the beginning of it: to try it before it is published, or to explain an old answer.

Used by `voucher`, `reports` and `page`.
"""

import threading
from collections.abc import Sequence
from http import HTTPStatus

from sqlalchemy import Connection, and_, case, func, select

from app.errors import ApiError
from app.published import models
from app.published.reader import Reader, UnknownRunError
from app.published.results import read_snapshot
from app.published.snapshot import Snapshot

DIGITS = 16  # of a run's id, which a request may shorten
KEPT = 4  # snapshots of runs that each process keeps in memory

# What a run is. The table calls it `loading` until it is published or rejected, even if it is loaded.
STATUS = case(
    (and_(models.Run.status == "loading", models.Run.finished_at.is_not(None)), "planned"), else_=models.Run.status
)
_last_published = select(func.max(models.Publication.at)).where(models.Publication.run_id == models.Run.run_id)
# The fields of a snapshot that come before `sample`, then what changes when the run is loaded or planned again.
RECORD = select(
    models.Run.run_id,
    models.Run.today,
    func.coalesce(models.CurrentRun.published_at, _last_published.scalar_subquery()).label("published_at"),
    func.coalesce(models.CurrentRun.checked_at, models.Run.planned_at).label("checked_at"),
    models.Run.data_to,
    models.Run.source,
    case((models.CurrentRun.run_id.is_not(None), "current"), else_=STATUS).label("status"),
    models.Run.planned_at,
    models.Run.finished_at,
).outerjoin(models.CurrentRun, models.CurrentRun.run_id == models.Run.run_id)


class RunUnfinishedError(ApiError):
    """The run is on record, but not all its results are written."""

    status = HTTPStatus.CONFLICT
    type = "run-unfinished"
    title = "The run is not loaded yet"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} is on record, but not loaded completely. Try again when /runs/{run_id} has a `finished_at`."
        )


class AmbiguousRunError(ApiError):
    """Several runs begin with the digits of a shortened id."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "ambiguous-run"
    title = "Several runs begin like this"

    def __init__(self, given: str, found: Sequence[str]) -> None:
        self.found = found
        super().__init__(f"{len(found)} runs begin with {given!r}: {', '.join(found)}. Name one of them.")


class NoAnswersError(ApiError):
    """The run is loaded, but has no segments."""

    status = HTTPStatus.GONE
    type = "no-answers"
    title = "The run has no answers"

    def __init__(self, run: Snapshot) -> None:
        super().__init__(
            f"Run {run.run_id} ({run.status}) has no answers: no row of its history was kept, or its results were "
            "deleted. /runs lists the runs."
        )


def full_id(reader: Reader, given: str) -> str:
    """Return the id of the only run that begins with these digits. One that has all digits is returned unread.

    Raises UnknownRunError, AmbiguousRunError or DatabaseUnavailableError.
    """
    if len(given) == DIGITS:
        return given
    beginning = func.starts_with(models.Run.run_id, given)
    [rows] = reader.read(select(models.Run.run_id).where(beginning).order_by(models.Run.run_id))
    if not rows:
        raise UnknownRunError(given)
    if len(rows) > 1:
        raise AmbiguousRunError(given, [row.run_id for row in rows])
    return str(rows[0].run_id)


class RecordedRuns:
    """Reads snapshots of runs, and keeps the KEPT used last, because the results of a loaded run do not change."""

    def __init__(self, currency: str = "") -> None:
        self._currency = currency
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[object, ...], Snapshot]] = {}  # by run_id, the one used last at the end

    def find(self, reader: Reader, run_id: str) -> Snapshot:
        """Return the run with its current status.

        Raises UnknownRunError, RunUnfinishedError, NoAnswersError or DatabaseUnavailableError.
        """
        return reader.within(lambda connection: self._find(connection, run_id))

    def _find(self, connection: Connection, run_id: str) -> Snapshot:
        record = connection.execute(RECORD.where(models.Run.run_id == run_id)).one_or_none()
        if record is None:
            raise UnknownRunError(run_id)
        if record.finished_at is None:
            raise RunUnfinishedError(run_id)
        with self._lock:
            known, snapshot = self._kept.pop(run_id, (None, None))
        if snapshot is None or known != tuple(record):
            about = record._asdict()
            del about["planned_at"], about["finished_at"]
            snapshot = read_snapshot(connection, about, self._currency)
        if not snapshot.segments:
            raise NoAnswersError(snapshot)
        with self._lock:
            self._kept[run_id] = tuple(record), snapshot
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return snapshot
