"""/countries, /votes and /segments.xlsx: what segments add, all amounts, and the table for people."""

import io
from collections.abc import Callable
from decimal import Decimal

import openpyxl
import pytest
from flask.testing import FlaskClient

from app.reports.excel import COLUMNS
from proofs.support.published_tables import REST, RUN, Bounds

Publish = Callable[..., None]

TWO: list[Bounds] = [("few", 0, 9, 100), ("many", 10, None, 300)]
ONE_KIND = {"frequent_segment": ("total_orders", TWO)}


def test_countries_tell_what_segments_add(publish: Publish, client: FlaskClient) -> None:
    """A country has its code, currency, mean amount, its best single amount, and the votes that segments match."""
    publish(countries={"Peru": 10, "Utopia": 10}, kinds=ONE_KIND, uses=8)
    found = client.get("/countries").json
    assert (found["run_id"], [row["country_code"] for row in found["countries"]]) == (RUN, ["Peru", "Utopia"])
    mean = (8 * 100 + 2 * (100 + REST) + 8 * 300 + 2 * (300 + REST)) / 20
    assert found["countries"][0] == {
        **{"country_code": "Peru", "iso_code": "PE", "currency": "PEN", "currency_basis": "country"},
        **{"segment_name": "frequent_segment", "kind_title": "Number of orders", "rows": 20, "mean_amount": mean},
        **{"single_amount": 100, "single_share": 0.4, "segments_share": 0.8},
    }
    assert {found["countries"][1][name] for name in ("iso_code", "currency", "currency_basis")} == {None}
    assert [row["country_code"] for row in client.get("/countries?country=PER").json["countries"]] == ["Peru"]


def test_countries_are_csv_if_asked(publish: Publish, client: FlaskClient) -> None:
    """With Accept: text/csv, the countries are lines under the names of the fields."""
    publish(countries={"Peru": 10}, kinds=ONE_KIND)
    lines = client.get("/countries", headers={"Accept": "text/csv"}).text.splitlines()
    assert lines[1] == "Peru,PE,PEN,country,frequent_segment,Number of orders,20,200,100,0.5,1.0"


def test_votes_are_all_amounts_of_each_segment(publish: Publish, client: FlaskClient) -> None:
    """Each segment has its amounts, the most used first, with their share; a country and a run can be chosen."""
    publish(countries={"Peru": 10, "Latvia": 10}, kinds=ONE_KIND, uses=5, runner_up=(Decimal("250.50"), 3))
    found = client.get("/votes?country=pe").json
    assert found["run_id"] == RUN
    assert [(row["segment"], row["voucher_amount"], row["uses"], row["share"]) for row in found["votes"]] == [
        *(("few", 100, 5, 0.5), ("few", 250.5, 3, 0.3), ("few", 100 + REST, 2, 0.2)),
        *(("many", 300, 5, 0.5), ("many", 250.5, 3, 0.3), ("many", 300 + REST, 2, 0.2)),
    ]
    assert {row["country_code"] for row in client.get("/votes").json["votes"]} == {"Latvia", "Peru"}
    assert client.get(f"/votes?run={RUN}&country=PE").json == found
    assert client.get("/votes?country=Atlantis").status_code == 404
    assert client.get("/votes?run=0123456789abcdef").status_code == 404


def test_the_workbook_has_the_answers_of_segments(publish: Publish, client: FlaskClient) -> None:
    """Each row of /segments is a row of the sheet, with names for people; labels and countries are text."""
    publish(countries={"Peru": 30, "=1+1": 30}, uses=20, runner_up=(3520, 7), evidence=(12, 0.6, 0.73, False))
    response = client.get("/segments.xlsx")
    assert response.headers["Voucher-Run"] == RUN
    assert response.headers["Content-Disposition"].startswith('attachment; filename="vouchers-20')
    book = openpyxl.load_workbook(io.BytesIO(response.data))
    heading, *rows = book["Vouchers"].iter_rows(values_only=True)
    assert heading == tuple(name for name, *_ in COLUMNS)
    segments = client.get("/segments").json["segments"]
    assert [(row[0], row[2].split()[0], row[4]) for row in rows] == [
        (row["country_code"], row["segment"], row["voucher_amount"]) for row in segments
    ]
    row = next(row for row in rows if row[:3] == ("Peru", "Number of orders", "5-13 orders"))
    assert row[5:7] == ("PEN", "not clear")
    assert row[7:] == (30, 0.6667, 0.6, 0.73, 12, 3520, pytest.approx(7 / 30), 2564.67, 0.43)
    cells = {cell.value: cell.data_type for line in book["Vouchers"].iter_rows() for cell in line}
    assert (cells["=1+1"], cells["5-13 orders"]) == ("s", "s")
    assert ("Run", RUN) in [line[:2] for line in book["About"].iter_rows(values_only=True)]


@pytest.mark.parametrize(
    ("options", "sure"),
    [
        ({"basis": "country"}, "a guess: no vouchers of its own, so the country's most used amount"),
        ({"basis": "effect"}, "chosen by its effect"),
        ({"tied": True}, "a tie: another amount was used as often"),
        ({"evidence": (2, None, None, None)}, "too few sends to tell"),
        ({"evidence": (12, 0.9, 1.0, True)}, "clear"),
        ({}, "not known"),
    ],
)
def test_the_workbook_says_how_sure_an_amount_is(
    publish: Publish, client: FlaskClient, options: dict[str, object], sure: str
) -> None:
    """A guess, a tie, too few sends and a clear lead have words of their own."""
    publish(countries={"Peru": 30}, **options)
    book = openpyxl.load_workbook(io.BytesIO(client.get("/segments.xlsx?country=PE").data))
    assert {row[6] for row in book["Vouchers"].iter_rows(min_row=2, values_only=True)} == {sure}


def test_a_run_without_countries_has_an_empty_table(publish: Publish, client: FlaskClient) -> None:
    """If no row was kept, the workbook has only its headings, and /countries and /votes are empty."""
    publish(countries={}, data_to=None)
    book = openpyxl.load_workbook(io.BytesIO(client.get("/segments.xlsx").data))
    assert book["Vouchers"].max_row == 1
    assert (client.get("/countries").json["countries"], client.get("/votes").json["votes"]) == ([], [])
