"""GET /segments.xlsx: the published answers for people, in Excel.

Labels are stored as text: as CSV, Excel would open 5-13 as a date. No text is taken for a formula either.
"""

import io
from typing import Any

import xlsxwriter
from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from app.places.territories import territory
from app.published.segment import Segment
from app.published.snapshot import Snapshot
from app.reports import responses
from app.reports.parameters import OfCountry, of_country
from app.web.request_log import RUN_HEADER
from shared.addresses import redact

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SURE = {
    "effect": "chosen by its effect",
    "guess": "a guess: no vouchers of its own, so the country's most used amount",
    "tie": "a tie: another amount was used as often",
    "unknown": "not known",
    "few": "too few sends to tell",
    "clear": "clear",
    "unclear": "not clear",
}
AMOUNT, COUNT, SHARE, TEXT = "#,##0.00", "#,##0", "0.0%", "@"
# Heading, width in characters and format of each column. `_cells` has the values in the same order.
COLUMNS = (
    ("Country", 18, TEXT),
    ("Customers by", 26, TEXT),
    ("Customers", 18, TEXT),
    ("Their name", 22, TEXT),
    ("Voucher", 12, AMOUNT),
    ("Currency", 10, TEXT),
    ("How sure", 24, TEXT),
    ("Vouchers sent", 14, COUNT),
    ("Share with this amount", 14, SHARE),
    ("95 % interval from", 12, SHARE),
    ("to", 8, SHARE),
    ("Days with a send", 12, COUNT),
    ("Next most used", 12, AMOUNT),
    ("Its share", 10, SHARE),
    ("Mean amount sent", 14, AMOUNT),
    ("Voucher : mean", 10, "0.00"),
)
DOCS: dict[str, Any] = {
    "description": "The workbook",
    "headers": responses.RUN_HEADERS,
    "content": {XLSX: {"schema": {"type": "string", "format": "binary"}}},
}

blueprint = APIBlueprint("excel", __name__, abp_tags=[responses.TAG])


@blueprint.get("/segments.xlsx", operation_id="getSegmentsXlsx", responses={200: DOCS})
def segments_xlsx(query: OfCountry) -> Response:
    """The table of segments for people, as an Excel workbook

    The columns have names for people. A second sheet says which run the answers are from.
    """
    run = responses.published_run()
    rows = sorted(
        of_country(run.segments, run, query.country),
        key=lambda row: (row.country_code, run.kind(row.segment_name).position, row.position),
    )
    of = f"-{territory(rows[0].country_code) or 'country'}" if query.country and rows else ""
    headers = {
        RUN_HEADER: run.run_id,
        "Content-Disposition": f'attachment; filename="vouchers{of}-{run.published_at:%Y-%m-%d}.xlsx"',
    }
    return Response(_workbook(run, rows), headers=headers, content_type=XLSX)


def _workbook(run: Snapshot, rows: list[Segment]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        book.set_properties({"created": run.published_at})  # the same run gives the same bytes
        heading = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        whole = all(row.voucher_amount % 1 == 0 for row in rows)
        sheet = book.add_worksheet("Vouchers")
        for column, (name, width, number) in enumerate(COLUMNS):
            shown = COUNT if number == AMOUNT and whole else number
            sheet.set_column(column, column, width, book.add_format({"num_format": shown}))
            sheet.write_string(0, column, name, heading)
        for line, row in enumerate(rows, start=1):
            for column, value in enumerate(_cells(run, row)):
                write = sheet.write_string if isinstance(value, str) else sheet.write
                write(line, column, value)
        sheet.freeze_panes(1, 1)
        sheet.autofilter(0, 0, len(rows), len(COLUMNS) - 1)
        about = book.add_worksheet("About")
        about.set_column(0, 0, 24)
        about.set_column(1, 1, 80)
        for line, (name, value) in enumerate(_about(run)):
            about.write_string(line, 0, name, heading)
            about.write_string(line, 1, value)
    return file.getvalue()


def _cells(run: Snapshot, row: Segment) -> list[str | int | float | None]:
    currency = run.currency(row.country_code)
    mean = float(row.mean_amount) if row.mean_amount is not None else None
    second = (row.runner_up_uses or 0) / row.rows if row.runner_up_amount is not None and row.rows else None
    return [
        row.country_code,
        row.kind_title,
        f"{row.segment} {row.unit}",
        row.title or "",
        float(row.voucher_amount),
        currency.code if currency else "",
        SURE[row.certainty],
        row.rows,
        row.share,
        row.share_low,
        row.share_high,
        row.sends,
        float(row.runner_up_amount) if row.runner_up_amount is not None else None,
        second,
        mean,
        round(float(row.voucher_amount) / mean, 2) if mean else None,
    ]


def _about(run: Snapshot) -> list[tuple[str, str]]:
    currencies = {found.basis for country in run.countries if (found := run.currency(country))}
    basis = {"country": "taken from the country", "setting": "set by VOUCHER_CURRENCY"}
    return [
        ("Run", run.run_id),
        ("Live since", f"{run.published_at:%d %b %Y, %H:%M} UTC"),
        ("Source", "The synthetic sample, which is invented" if run.sample else redact(run.source)),
        ("Data up to", f"{run.data_to:%d %b %Y}" if run.data_to else "no rows"),
        ("Currencies", " and ".join(basis[found] for found in sorted(currencies)) or "not known"),
        ("Voucher", "The amount sent most often to these customers. Most used does not mean most effective."),
        ("How sure", "Clear: the lead over the next most used amount is larger than its 95 % margin of error."),
    ]
