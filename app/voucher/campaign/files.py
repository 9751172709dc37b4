"""Answer a CSV file of customers with a CSV file of vouchers. Used by `routes`, and by the page's form."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import BinaryIO

from flask import Response, current_app

from app.errors import ApiError
from app.published.snapshot import Snapshot
from app.settings import Settings
from app.voucher.campaign.answers import Campaign
from app.voucher.campaign.columns import Columns
from app.voucher.campaign.records import Records
from app.voucher.campaign.spool import NoSpaceError, Spool
from app.web.request_log import RUN_HEADER
from app.web.streams import Slots, bulk_turn, stream

CSV = "text/csv"
BATCH = 200  # records in one turn; they take some 3 ms
BOM = b"\xef\xbb\xbf"


class TooManyFilesError(ApiError):
    """All slots for files of customers are taken."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "too-many-files"
    title = "Too many files"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__("The maximum number of concurrent files is reached. Try again when one has been answered.")


class TooSlowUploadError(ApiError):
    """The file takes longer to arrive than allowed."""

    status = HTTPStatus.REQUEST_TIMEOUT
    type = "too-slow-upload"
    title = "The file arrives too slowly"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The file did not arrive within {seconds:.0f} seconds. Split it.")


@dataclass(frozen=True)
class Options:
    """What a request wants: the run, the fields that all customers share, and how the answer is written."""

    run: Snapshot
    given: Mapping[str, str]  # country_code and segment_name, if the file has no such columns
    separator: str | None  # of the answer; None: that of the file
    bom: bool  # whether the answer begins with a byte order mark, by which Excel knows UTF-8
    explain: bool


def answer_file(receive: Callable[[], tuple[BinaryIO, Options]]) -> Response:
    """Return the answer of a file as a streamed response.

    `receive` returns the file and its options. It is called when the request has a slot, because it may write the file
    to disk. Raises TooManyFilesError, TooSlowUploadError, or an error of `receive`, `Columns`, `Records` or `Spool`.
    """
    slots: Slots = current_app.extensions["file_slots"]
    settings: Settings = current_app.extensions["settings"]
    with ExitStack() as held:
        held.enter_context(slots.take())
        try:
            file, options = receive()
        except OSError as error:
            raise NoSpaceError(error) from None
        spool = held.enter_context(Spool())
        _write(spool, file, options, settings.longest_download_seconds)
        response = Response(mimetype=CSV, headers={RUN_HEADER: options.run.run_id})
        response.content_length = spool.length
        response.response = stream(spool.chunks(), held.pop_all(), settings.longest_download_seconds)
        return response


def _write(spool: Spool, file: BinaryIO, options: Options, seconds: float) -> None:
    """Write the answer to the file, while it is received."""
    deadline = time.monotonic() + seconds
    records = Records(file)
    columns = Columns.read(records, options.given, options.explain)
    columns.check_kinds(options.run, options.given)
    campaign = Campaign(columns, options.given, options.separator or records.separator, options.run)
    spool.write(BOM * options.bom + campaign.header().encode())
    rest = iter(records)
    while batch := list(islice(rest, BATCH)):
        if time.monotonic() > deadline:
            raise TooSlowUploadError(seconds)
        with bulk_turn:
            lines = campaign.lines(batch)
        spool.write(lines.encode())
