"""The forms in which spreadsheets write files, and files that are refused as a whole."""

import codecs
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.voucher.campaign.records import MAX_RECORD, Records
from tests.app.conftest import Ask
from tests.app.voucher.campaign.conftest import GOOD, HEADER, Post, answered, rows


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8])
def test_spreadsheets_forms_are_read(post: Post, separator: str, end: str, bom: bytes) -> None:
    """Any separator, line end and byte order mark is recognised; the answer keeps the separator and ends with CRLF."""
    lines = [f"note,{HEADER},,", f'"a, b; c",{GOOD},,', f'"two\nlines ""quoted""",{GOOD},,', ",,,,,"]
    table = end.join(lines).replace(",", separator).encode()
    response = post(bom + table + end.encode())
    found = rows(response, separator)
    assert [(row["note"], row["voucher_amount"], row["problem"]) for row in found] == [
        (f"a{separator} b; c", "1000", ""),
        ('two\nlines "quoted"', "1000", ""),
        ("", "", ""),
    ]
    assert response.data.startswith(b"note") and response.data.endswith(b"\r\n")


def test_the_answer_is_written_for_excel_if_asked(post: Post) -> None:
    """A separator and a byte order mark can be asked for; cells with that separator are then quoted."""
    response = post(f"note,{HEADER}\na;b,{GOOD}\n", separator="semicolon", bom="true")
    assert response.data.decode() == (
        "\ufeffnote;country_code;segment_name;total_orders;voucher_amount;problem\r\n"
        '"a;b";Peru;frequent_segment;3;1000;\r\n'
    )


def test_columns_are_found_in_any_case_and_order(post: Post) -> None:
    """Names are compared without case and blanks around, and the answer repeats them as sent."""
    response = post(" Total_Orders ,COUNTRY_CODE , x, x,Segment_Name\n3,Peru,1,2,frequent_segment")
    assert response.text.splitlines() == [
        " Total_Orders ,COUNTRY_CODE , x, x,Segment_Name,voucher_amount,problem",
        "3,Peru,1,2,frequent_segment,1000,",
    ]


@pytest.mark.parametrize("body", [HEADER, f"{HEADER}\r\n", f"{HEADER}\n"])
def test_a_file_of_no_customers_is_answered_with_none(post: Post, body: str) -> None:
    """A file that has only the names of columns gets the names of the answer's columns."""
    assert post(body).text == f"{HEADER},voucher_amount,problem\r\n"


ORDERS = "country_code,total_orders"


@pytest.mark.parametrize(
    ("body", "query", "said"),
    [
        ("", {}, "The file is empty. The first line must name the columns: country_code,"),
        ("\ufeff", {}, "The file is empty."),
        ("\n", {}, "no column country_code and no column segment_name"),
        (GOOD, {}, "The file has no column country_code and no column segment_name. The file has: Peru, "),
        (ORDERS, {}, "The file has no column segment_name. The file has: country_code, total_orders."),
        (ORDERS, {"segment_name": "recency_segment"}, "recency_segment needs the column last_order_ts."),
        ("country_code,segment_name", {}, "one of the columns total_orders, last_order_ts. The file has: "),
        (HEADER, {"segment_name": "recency_segment"}, "segment_name is given for the whole file, but"),
        (f"{HEADER},Country_Code ", {}, "has the column country_code twice"),
        (f"{HEADER},Problem", {}, "adds a column problem, but the file has one"),
        (f"{HEADER},because", {"explain": "1"}, "adds a column because"),
        (f'"{HEADER}\n{GOOD}\n', {}, "The first line, which names the columns, is unreadable: quotes must"),
        (",".join("x" * 1001), {}, "1,001 columns, but may have at most 1,000"),
        (HEADER.encode("utf-16-le"), {}, "In Excel, save the file as CSV UTF-8"),
        (ORDERS, {"segment_name": "nothing"}, "segment_name must be one of frequent_segment, recency_segment"),
        (HEADER, {"separator": "pipe"}, "separator must be comma, semicolon, tab, or absent"),
        (HEADER, {"bom": "maybe"}, "bom must be true, false, 1 or 0"),
    ],
)
def test_a_file_without_the_columns_is_refused(post: Post, body: str | bytes, query: dict[str, str], said: str) -> None:
    """A file, or a parameter for all of it, that no line can be answered with is one problem, which names the reason."""
    response = post(body, **query)
    assert (response.status_code, response.mimetype) == (422, "application/problem+json")
    assert said in response.json["detail"]


def test_an_unknown_country_for_all_is_refused(post: Post) -> None:
    """A country that is given for all customers must be known, and the problem lists the known ones."""
    response = post("segment_name,total_orders", country_code="Narnia")
    assert (response.status_code, "Peru" in response.json["known"]) == (404, True)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (f"{HEADER}\n{GOOD}\nPerú,frequent_segment,3\n".encode("cp1252"), 3),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), 1),
        (f"{HEADER}\n".encode() + f"{GOOD}\n".encode() * 9_000 + b"\xff,frequent_segment,3", 9_002),
        (f'note,{HEADER}\n"a\nb\n'.encode() + b'\xe9",Peru,frequent_segment,3\n', 4),
        (f"{HEADER}\n".encode() + b"\xed\xa0\x80", 2),
    ],
)
def test_another_encoding_is_refused(post: Post, body: bytes, line: int) -> None:
    """A file that is not UTF-8 is one problem, with the number of the first such line and how to save it."""
    response = post(body)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert response.json["detail"].startswith(f"Line {line:,} is not UTF-8. In Excel, save the file as")


@pytest.mark.parametrize("header", [{"Content-Encoding": "gzip"}, {"Content-Type": "text/csv; charset=windows-1252"}])
def test_another_encoding_in_the_headers_is_refused(standing: Ask, header: dict[str, str]) -> None:
    """A compressed file, or one with another charset, gets a 415."""
    headers = {"Content-Type": "text/csv"} | header
    assert standing.client.post("/vouchers", data=HEADER, headers=headers).status_code == 415


def test_an_open_quote_swallows_one_line(post: Post) -> None:
    """A quote that is never closed spoils the line in which it opens, and no other, however long the file."""
    more = 3_000
    found = answered(post(f'note,{HEADER}\n"a,{GOOD}\n' + f"b,{GOOD}\n" * more + f'"c",{GOOD}'))
    assert (found[0][0], found[1:]) == ("", [("1000", "")] * (more + 1))


@given(st.lists(st.sampled_from(['"', '""', ",", "a", "\n", "\r\n", "\r", '"\n', "é"]), max_size=60).map("".join))
def test_records_are_those_of_python(text: str) -> None:
    """A file that Python's strict reader accepts has the same cells; in any other, a bad record takes one line."""
    found = [*Records(io.BytesIO(text.encode()))]
    try:
        wanted = [*csv.reader(io.StringIO(text, newline=""), strict=True)]
    except csv.Error:
        behind = [record.line for record in found[1:]] + [len([*io.StringIO(text, newline="")]) + 1]
        took = [end - record.line for record, end in zip(found, behind, strict=True) if record.problem]
        assert took and set(took) == {1}
    else:
        assert [record.cells for record in found] == [cells or [""] for cells in wanted]


def test_lines_of_any_length_are_read_in_pieces() -> None:
    """A line that is too long is one record with a problem, and the next record is read."""
    text = f"{'a' * MAX_RECORD * 3}\r\nb,c\r\n{'d' * (MAX_RECORD - 2)}\n"
    found = [*Records(io.BytesIO(text.encode()))]
    assert [(record.line, len(record.cells), bool(record.problem)) for record in found] == [
        (1, 1, True),
        (2, 2, False),
        (3, 1, False),
    ]
    assert len(found[0].cells[0]) == MAX_RECORD
