"""Files of customers: each line gets the answer of /voucher or a problem, and keeps its own cells."""

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.voucher.csv_cells import FORMULA
from tests.app.conftest import RUN, Ask
from tests.app.voucher.campaign.conftest import GOOD, HEADER, Post, answered, rows


def test_a_file_is_answered_line_by_line(post: Post) -> None:
    """The answer has the columns and lines of the file, then an amount or a problem; the run is in the header."""
    response = post("customer_id,country_code,total_orders,segment_name\r\n7,Peru,14,frequent_segment\r\n8,,3,x\r\n")
    assert response.text == (
        "customer_id,country_code,total_orders,segment_name,voucher_amount,problem\r\n"
        "7,Peru,14,frequent_segment,1200,\r\n"
        "8,,3,x,,country_code is required.\r\n"
    )
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Voucher-Run"] == RUN
    assert response.content_length == len(response.data)


def test_both_paths_take_files(standing: Ask) -> None:
    """/vouchers.csv answers as /vouchers does, and refuses other types than CSV."""
    body = f"{HEADER}\n{GOOD}\n"
    answers = [
        standing.client.post(path, data=body, content_type="text/csv") for path in ("/vouchers", "/vouchers.csv")
    ]
    assert answers[0].data == answers[1].data
    refused = standing.client.post("/vouchers.csv", data="[]", content_type="application/json")
    assert (refused.status_code, "text/csv" in refused.json["detail"]) == (415, True)


@pytest.mark.parametrize(
    ("cell", "orders"), [("3", 3), ("3.0", 3), ("3.", 3), (" 14 ", 14), ("0014.00", 14), ("9" * 18, int("9" * 18))]
)
def test_numbers_are_read_from_text(post: Post, standing: Ask, cell: str, orders: int) -> None:
    """A whole number may have zeros behind a point and blanks around it, as spreadsheets and pandas write it."""
    assert answered(post(f"{HEADER}\nPeru,frequent_segment,{cell}")) == [
        (str(standing.amount(total_orders=orders)), "")
    ]


@pytest.mark.parametrize("cell", ["many", "-3", "2.5", "1 000", "1.000,0", "1e3", "٣", "0x10", "1'000", "9" * 19, "+3"])
def test_other_numbers_are_problems(post: Post, cell: str) -> None:
    """A number that is not whole, or has separators for thousands, is a problem that names field and value."""
    ((amount, problem),) = answered(post(f'{HEADER}\nPeru,frequent_segment,"{cell}"'))
    assert (amount, problem.startswith(f"total_orders {cell!r} must be")) == ("", True)


DATES = "country_code,segment_name,last_order_ts"


@pytest.mark.parametrize("cell", ["2018-05-03", "2018-05-03 10:30:00", "2018-05-03T10:30:00Z", " 2018-05-03 10:30 "])
def test_days_are_read_as_in_json(post: Post, standing: Ask, cell: str) -> None:
    """A day may be written in each of the ways that /voucher accepts."""
    amount = standing.amount(segment_name="recency_segment", total_orders=None, last_order_ts=cell.strip())
    assert answered(post(f"{DATES}\nPeru,recency_segment,{cell}")) == [(str(amount), "")]


@pytest.mark.parametrize("cell", ["3.5.2018", "5/3/2018", "03-05-18", "2018/05/03", "5/3/2018 10:30", "2018-5-3"])
def test_rewritten_days_are_problems(post: Post, cell: str) -> None:
    """A day as Excel rewrites it is not guessed: the problem says how to write it."""
    ((amount, problem),) = answered(post(f"{DATES}\nPeru,recency_segment,{cell}"))
    assert (amount, repr(cell) in problem, "2018-05-03" in problem) == ("", True, True)


def test_every_invalid_cell_is_named(post: Post) -> None:
    """A line with several invalid cells gets one problem that names each field and its value."""
    ((_, problem),) = answered(post(f"{HEADER},last_order_ts\n ,frequent_segment,many,yesterday"))
    for part in ("country_code is required", "total_orders 'many'", "last_order_ts 'yesterday'"):
        assert part in problem


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Narnia,frequent_segment,3", "country_code 'Narnia' is unknown"),
        ("Peru,nothing,3", "segment_name 'nothing' must be one of frequent_segment, recency_segment."),
        ("Peru,frequent_segment,", "total_orders is required for frequent_segment."),
        ("Peru,recency_segment,3", "last_order_ts is required for recency_segment."),
        ("Peru,frequent_segment", "Line 3: 2 cells, but 3 columns."),
        ("Peru,frequent_segment,3,,x", "Line 3: 5 cells, but 3 columns"),
        ('Peru,frequent_segment,"3', "Line 3: quotes must stand around"),
        ('Peru,"frequent"_segment,3', "Line 3: quotes must stand around"),
        (f"Peru,frequent_segment,{'9' * 70_000}", "Line 3: a record may have at most 65,536 characters."),
        ("Pe\0ru,frequent_segment,3", "country_code 'Pe\\x00ru' is unknown"),
        (f'Peru,frequent_segment,3,"{"x" * 3_000}"', "Line 3: 4 cells, but 3 columns"),
    ],
)
def test_a_bad_line_does_not_spoil_the_others(post: Post, line: str, said: str) -> None:
    """A line that can't be answered gets its problem, and the lines around it their amounts."""
    first, bad, last = answered(post(f"{HEADER}\n{GOOD}\n{line}\n{GOOD}\n"))
    assert (first, last) == (("1000", ""), ("1000", ""))
    assert (bad[0], bad[1][: len(said)]) == ("", said)
    assert len(bad[1]) < 500


def test_a_line_without_any_value_has_neither(post: Post) -> None:
    """Blank lines, and lines of empty cells as Excel leaves them, are kept, without an amount or a problem."""
    found = answered(post(f"{HEADER}\n\n{GOOD}\n,,\n,,,,,\n{GOOD},,\n"))
    assert found == [("", ""), ("1000", ""), ("", ""), ("", ""), ("1000", "")]


def test_one_kind_and_one_country_may_be_given_for_all(post: Post) -> None:
    """A list without these columns is answered with the parameters, in any spelling of the country."""
    response = post("email,total_orders\na@b.example,14\n", segment_name="frequent_segment", country_code=" peru ")
    assert response.text.splitlines() == ["email,total_orders,voucher_amount,problem", "a@b.example,14,1200,"]


def test_an_explained_file_has_the_evidence_of_voucher(post: Post, standing: Ask) -> None:
    """With explain=true, further columns have the same values as the explanation in JSON."""
    (row,) = rows(post(f"{HEADER}\n{GOOD}", explain="true"))
    alone = standing("/voucher?explain=true").json
    for name in [name for name in row if name not in (*HEADER.split(","), "problem")]:
        assert row[name] == ("" if alone[name] is None else str(alone[name])), name
    assert {"because", "lower_bound", "share", "currency"} < row.keys()


def test_a_run_may_be_named(post: Post) -> None:
    """A file can be answered from a run on record, whose status is then in a header; an unknown run is an error."""
    response = post(f"{HEADER}\n{GOOD}", run=RUN)
    assert (response.headers["Voucher-Run-Status"], answered(response)) == ("current", [("1000", "")])
    assert post(f"{HEADER}\n{GOOD}", run="b" * 16).status_code == 404


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(table=st.lists(st.tuples(cells, cells), max_size=8), separator=st.sampled_from(",;\t"))
def test_unknown_columns_are_handed_through(post: Post, table: list[tuple[str, str]], separator: str) -> None:
    """Cells of unknown columns come back as they were, whatever text and line ends they have."""
    sent = io.StringIO()
    lines = [["note", "country_code", "segment_name", "total_orders", "="]]
    lines += [[note, "Peru", "frequent_segment", "3", more] for note, more in table]
    csv.writer(sent, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(lines)
    response = post(sent.getvalue().encode())
    found = [*csv.reader(io.StringIO(response.text, newline=""), delimiter=separator)]
    assert found == [
        [*line, *answer]
        for line, answer in zip(lines, [["voucher_amount", "problem"], *[["1000", ""]] * len(table)], strict=True)
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(country=st.text("=+-@\t\r\n'\"A\uff1d", min_size=1, max_size=8), orders=st.text("=+-@\t1", max_size=5))
def test_no_cell_of_ours_is_a_formula(post: Post, country: str, orders: str) -> None:
    """A problem that repeats a value is no formula for a spreadsheet."""
    sent = io.StringIO()
    csv.writer(sent, quoting=csv.QUOTE_ALL).writerows([HEADER.split(","), [country, "frequent_segment", orders]])
    for row in rows(post(sent.getvalue())):
        assert not FORMULA.match(row["problem"])


def test_lines_agree_with_json(post: Post, standing: Ask) -> None:
    """Each line gets the amount that /vouchers gives the same customer in JSON."""
    customers = [
        {"country_code": country, "segment_name": "frequent_segment", "total_orders": orders}
        for country in ("Peru", "São Tomé", "LATVIA")
        for orders in range(0, 60, 3)
    ]
    body = io.StringIO()
    csv.writer(body).writerows([HEADER.split(","), *(customer.values() for customer in customers)])
    wanted = standing.client.post("/vouchers", json=customers).json
    assert [json.loads(row["voucher_amount"]) for row in rows(post(body.getvalue()))] == [
        each["voucher_amount"] for each in wanted
    ]
