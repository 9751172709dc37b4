"""Answer the records of a campaign: what each gets in the columns that the answer adds. Used by `files`."""

import csv
import io
from collections.abc import Iterable, Mapping

import structlog

from app.errors import CustomerError, echo
from app.places.countries import UnknownCountryError
from app.published.snapshot import Snapshot
from app.voucher.campaign.cells import CustomerReader
from app.voucher.campaign.columns import ANSWER, Columns, misfit
from app.voucher.campaign.records import Record
from app.voucher.csv_cells import cell
from app.voucher.explanation import explain
from app.voucher.routes import decide

log = structlog.get_logger()


class Campaign:
    """Writes the answer of a file as CSV, all from one run and with one reference day."""

    def __init__(self, columns: Columns, given: Mapping[str, str], separator: str, run: Snapshot) -> None:
        self._columns = columns
        self._reader = CustomerReader(columns.places, given)
        self._separator = separator
        self._run = run
        self._day = run.reference_day
        self._logged = False
        self._evidence = columns.added[len(ANSWER) :]

    def header(self) -> str:
        return self._written([(*self._columns.names, *self._columns.added)])

    def lines(self, records: Iterable[Record]) -> str:
        """Return a line for each record: its own cells unchanged, then the answer or the problem.

        A record without any value is handed through without either.
        """
        return self._written(map(self._line, records))

    def _written(self, lines: Iterable[Iterable[object]]) -> str:
        written = io.StringIO()
        csv.writer(written, delimiter=self._separator).writerows(lines)
        return written.getvalue()

    def _line(self, record: Record) -> list[object]:
        width, cells = len(self._columns.names), record.cells
        while len(cells) > width and not cells[-1]:
            cells.pop()
        kept = [*cells[:width], *[""] * (width - len(cells))]
        answer = self._answer(record) if any(cells) else []
        return [*kept, *answer, *[""] * (len(self._columns.added) - len(answer))]

    def _answer(self, record: Record) -> list[object]:
        """Return the cells of the columns that the answer adds; those behind the problem may be missing."""
        if problem := misfit(record, len(self._columns.names)):
            return ["", cell(f"Line {record.line:,}: {problem}.")]
        try:
            customer = self._reader.read(record.cells)
            row, choice, measured = decide(customer, self._run, self._day)
        except CustomerError as error:
            return ["", cell(self._problem(error))]
        if not self._evidence:
            return [choice.amount, ""]
        found = explain(row, choice, measured, self._day, self._run)
        return [choice.amount, "", *(cell(getattr(found, name)) for name in self._evidence)]

    def _problem(self, error: CustomerError) -> str:
        """Return an error as a sentence. Its reason is logged once for each file, not for each line."""
        if error.reason and not self._logged:
            self._logged = True
            log.error(error.title, reason=error.reason)
        if isinstance(error, UnknownCountryError):  # the list of known ones would be in each line
            return f"country_code {echo(error.country_code)!r} is unknown. /segments lists the known ones."
        bad = error.members.get("errors", ())
        values = (f"{each['field']} {_of(each)}{each['detail']}" for each in bad)
        return f"{'; '.join(values)}." if bad else error.detail


def _of(bad: Mapping[str, object]) -> str:
    return f"{bad['value']!r} " if "value" in bad else ""
