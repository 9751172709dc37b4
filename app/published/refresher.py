"""Keep the snapshot of the published run up to date, in one daemon thread per process. Started by create_app."""

import threading
import time
import traceback
from datetime import date, datetime
from http import HTTPStatus

import structlog
from sqlalchemy import Connection, Engine, Row, literal, select, text
from sqlalchemy.exc import MultipleResultsFound, ProgrammingError, SQLAlchemyError

from app.errors import ApiError
from app.published import models
from app.published.database import DatabaseUnavailableError
from app.published.results import read_snapshot
from app.published.snapshot import Snapshot
from shared import sqlstates
from shared.postgres import Address

log = structlog.get_logger()

# The fields of a snapshot that come before `sample`.
CURRENT = select(
    models.CurrentRun.run_id,
    models.Run.today,
    models.CurrentRun.published_at,
    models.CurrentRun.checked_at,
    models.Run.data_to,
    models.Run.source,
    literal("current").label("status"),
).join(models.Run)
SCHEMA_VERSION = select(models.SchemaVersion.version_num)
# The tables have notices since 0008. The pipeline gives one up after three days: pipeline/notices/outbox.py.
UNDELIVERED = text(
    """SELECT count(*) FROM voucher.notice
    WHERE sent_at IS NULL AND error IS NOT NULL AND at > now() - interval '3 days'"""
)


class NothingPublishedError(ApiError):
    """No run is published yet."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "nothing-published"
    title = "Nothing published yet"

    def __init__(self) -> None:
        super().__init__(
            "No run is published yet. Switch on the DAG Voucher_Select in Airflow. This service uses its first run as "
            "soon as it is published."
        )


class Published:
    """Holds the snapshot. Read `snapshot` only once per request: a new run replaces it in one assignment."""

    def __init__(self, engine: Engine, address: Address, poll_seconds: float, currency: str = "") -> None:
        # The run and its segments are read in one transaction, so that no snapshot mixes two runs.
        self._engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._address = address
        self._poll_seconds = poll_seconds
        self._currency = currency
        self._polling = threading.Lock()  # so that an older poll never ends after a newer one
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="published", daemon=True)
        self._current: Row[str, date | None, datetime, datetime, datetime | None, str, str] | None = None
        self._last_success: float | None = None
        self._failure = ""  # why the last poll failed, for the log: what happened and what to do
        self.happened = ""  # the same for callers: only what happened
        self.snapshot: Snapshot | None = None
        self.schema_version: str | None = None  # None if it could not be read
        self.undelivered: int | None = None  # notices that the receiver has not accepted; None if unknown

    def require(self) -> Snapshot:
        """Return the snapshot. Raises NothingPublishedError, or DatabaseUnavailableError if none could be read yet."""
        if self.snapshot is None:
            if self.happened:
                raise DatabaseUnavailableError(
                    f"No run could be read yet: {self.happened}. The log says what to do. The service retries "
                    "automatically."
                )
            raise NothingPublishedError
        return self.snapshot

    @property
    def database_answers(self) -> bool:
        """Whether the last poll of the database succeeded recently."""
        return self._last_success is not None and time.monotonic() - self._last_success < 8 * self._poll_seconds

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._engine.dispose()

    def refresh(self) -> None:
        """Poll the database once. If it is down or not migrated yet, keep the last snapshot."""
        try:
            with self._polling, self._engine.connect() as connection:
                self._read(connection)
                self.schema_version = version = _schema_version(connection)
                self.undelivered = _undelivered(connection) if version in models.SCHEMA_VERSIONS - {"0007"} else None
        except SQLAlchemyError as error:
            self._last_success = None
            self.happened = sqlstates.happened(error, self._address)
            self._log_change(sqlstates.explain(error, self._address))
        else:
            self._last_success = time.monotonic()
            self.happened = ""
            self._log_change("")

    def _read(self, connection: Connection) -> None:
        current = connection.execute(CURRENT).one_or_none()
        if current == self._current:
            return
        self.snapshot = None if current is None else read_snapshot(connection, current._asdict(), self._currency)
        self._current = current
        log.info("published run read", run=current and current.run_id)

    def _log_change(self, failure: str) -> None:
        """Log when the database becomes unavailable or available again, but not every poll."""
        if failure != self._failure:
            event = "database unavailable" if failure else "database available again"
            log.warning(event, reason=failure or None, answering_from_run=self.snapshot and self.snapshot.run_id)
        self._failure = failure

    def _follow(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            try:
                self.refresh()
            except Exception:  # noqa: BLE001  (the thread must go on polling; `_last_success` gets old)
                self._log_change(traceback.format_exc())


def _schema_version(connection: Connection) -> str | None:
    """Return the version of the tables, None if it cannot be read, which ends the transaction."""
    try:
        return connection.execute(SCHEMA_VERSION).scalar_one_or_none()
    except (ProgrammingError, MultipleResultsFound):
        return None


def _undelivered(connection: Connection) -> int | None:
    """Return how many notices were not accepted, None if they cannot be read, which ends the transaction."""
    try:
        return int(connection.execute(UNDELIVERED).scalar_one())
    except ProgrammingError:
        return None
