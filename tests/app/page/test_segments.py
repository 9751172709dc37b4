"""The segments of a country: amounts, their currency, how sure they are, and what segments add."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import KINDS, Tables, start, stop
from tests.app.page.conftest import OTHER, Publish, part, reread


def test_the_board_has_every_segment_of_the_country_with_most_rows(still: FlaskClient) -> None:
    """Each segment has its measure, amount, and first value if its label says another; most rows come first."""
    board = part(still.get("/").text, "segments")
    assert "of Latvia" in board
    for measure, bounds in KINDS.values():
        unit = "orders" if measure == "total_orders" else "days since the last order"
        for label, lower, upper, amount in bounds:
            if upper is None and label != f"{lower}+":
                unit = f"days from {lower} since the last order"
            assert f"{label} {unit}: voucher {amount:,}" in board


def test_how_sure_an_answer_is(publish: Publish, client: FlaskClient) -> None:
    """Each segment shows its share, its votes and the lead over the runner-up, as a bar and in words."""
    publish(countries={"Peru": 7256}, uses=4401, runner_up=(3520, 1451))
    page = client.get("/").text
    board = part(page, "segments")
    assert "61 % 4,401 of 7,256 vouchers" in board
    assert "41 points ahead of 3,520 (20 %)" in board
    assert '<rect class="won" x="0" width="60.65" height="1"/><rect class="next" x="60.65" width="20.0"' in page


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ((30, 0.57412, 0.63894, True), "(20 %) Clear: 57 % to 64 % in 30 sends"),
        ((30, 0.57412, 0.63894, False), "(20 %) Not clear: 57 % to 64 % in 30 sends"),
        ((2, None, None, None), "(20 %) Too few sends 2 are too few to tell how sure that is"),
    ],
    ids=["clear", "not clear", "few"],
)
def test_the_interval_of_a_share(publish: Publish, client: FlaskClient, evidence: tuple[Any, ...], said: str) -> None:
    """Each segment says whether its lead is clear and shows the interval of its share, in words and on the bar."""
    publish(countries={"Peru": 7256}, uses=4401, runner_up=(3520, 1451), evidence=evidence)
    page = client.get("/").text
    assert said in part(page, "segments")
    assert ('<rect class="range" x="57.41" width="6.48"' in page) == (evidence[1] is not None)


def test_a_tie_is_said_in_words(publish: Publish, client: FlaskClient) -> None:
    """A tied segment names the amount that was used as often."""
    publish(countries={"Peru": 10}, uses=5, runner_up=(3520, 5), tied=True)
    assert "Tie 3,520 was used as often; the smaller amount wins" in part(client.get("/").text, "segments")


def test_a_segment_without_history_is_said_in_words(publish: Publish, client: FlaskClient) -> None:
    """A segment without history says that its amount is the most used one of the country."""
    publish(countries={"Peru": 0}, basis="country")
    board = part(client.get("/").text, "segments")
    assert "No history of its own: the amount is the most used one of Peru" in board
    assert "assignments" not in board.partition("0-4")[2]


def test_an_amount_that_nothing_competes_with(still: FlaskClient) -> None:
    """A segment without a runner-up says that no other amount was used."""
    assert "30 of 30 vouchers no other amount was used" in part(still.get("/?country=Peru").text, "segments")


def test_amounts_of_a_board_have_as_many_digits(publish: Publish, client: FlaskClient) -> None:
    """If one amount of the list has cents, all amounts have two decimals, so that the decimal points align."""
    publish(kinds={"frequent_segment": ("total_orders", [("0-9", 0, 9, 2640), ("10+", 10, None, Decimal("9.50"))])})
    board = part(client.get("/").text, "segments")
    assert "voucher 2,640.00" in board
    assert "voucher 9.50" in board


def test_a_kind_whose_field_the_api_does_not_read(publish: Publish, client: FlaskClient) -> None:
    """The page names such a kind as its run does; trying it says that the answers do not cover it."""
    publish(kinds={"spend_segment": ("total_spend", [("0+", 0, None, 7)])})
    page = client.get("/?segment_name=spend_segment").text
    assert "0+ spend: voucher 7" in part(page, "segments")
    assert "do not cover this customer" in part(page, "try")


def test_kinds_and_segments_have_the_names_of_their_run(
    publish: Publish, client: FlaskClient, run: CleanedRows
) -> None:
    """Kinds are in the order of their run, with its titles and reasons; a segment's title is beside its label."""
    run_kinds = {"tenure_segment": ("days_since_first_order", [("0-99", 0, 99, 7), ("100+", 100, None, 8)])} | KINDS
    publish(OTHER)
    publish(kinds=run_kinds, titles={"tenure_segment": {"0-99": "new"}, "recency_segment": {"0-29": "active"}})
    run.execute(
        "UPDATE voucher.kind SET because = 'New customers decide early.' WHERE position = 0 AND run_id = %(run)s"
    )
    reread(run, client)
    board = part(client.get("/?country=Peru").text, "segments")
    assert "Days since the first order tenure_segment New customers decide early." in board
    assert "0-99 days since the first order, new: voucher 7" in board
    assert "0-29 days since the last order, active: voucher 2,000" in board
    titles = ["Days since the first order", "Number of orders", "Days since the last order"]
    assert sorted(titles, key=board.index) == titles


def test_what_segments_add(publish: Publish, client: FlaskClient) -> None:
    """Each kind says how many votes one amount matches and how many its segments match, as /countries does."""
    publish(countries={"Peru": 100}, uses=60, runner_up=(3520, 30))
    board = part(client.get("/").text, "segments")
    kinds = client.get("/countries").json["countries"]
    assert [kind["segment_name"] for kind in kinds] == [*KINDS]
    for kind in kinds:
        single, segments = 100 * kind["single_share"], 100 * kind["segments_share"]
        assert (
            f"One amount for all of Peru, {kind['single_amount']:,}, matches {single:.0f} % of the vouchers sent. "
            f"These segments match {segments:.0f} %: {segments - single:.0f} points more"
        ) in board


@pytest.mark.parametrize(
    ("amount", "uses", "other", "said"),
    [
        (100, 5, 101, "about the average of these vouchers, 100"),
        (100, 5, 300, "50 % less than the average of these vouchers, 200"),
        (300, 5, 100, "50 % more than the average of these vouchers, 200"),
        (900, 1, 100, "5 times the average of these vouchers, 180"),
        (50_000, 1, 11, "10 times the average of these vouchers, 5,010"),
    ],
)
def test_what_an_amount_costs(
    publish: Publish, client: FlaskClient, amount: int, uses: int, other: int, said: str
) -> None:
    """Each amount is compared with the mean of the amounts sent to the segment, which is that of /segments."""
    kinds = {"frequent_segment": ("total_orders", [("0+", 0, None, amount)])}
    publish(countries={"Peru": 10}, kinds=kinds, uses=uses, runner_up=(other, 10 - uses))
    assert said in part(client.get("/").text, "segments")
    [row] = client.get("/segments").json["segments"]
    assert said.endswith(f", {round(row['mean_amount']):,}")


def test_a_guess_has_no_average(publish: Publish, client: FlaskClient) -> None:
    """A segment that was sent nothing is marked as a guess, and compared with no mean."""
    publish(countries={"Peru": 0}, basis="country")
    board = part(client.get("/").text, "segments")
    assert board.count("A guess") == sum(len(bounds) for _, bounds in KINDS.values())
    assert "average" not in board.partition("A guess")[2]


def test_all_amounts_of_a_segment(publish: Publish, client: FlaskClient) -> None:
    """Each segment with several amounts lists them all, with the numbers and in the order of /votes."""
    publish(countries={"Peru": 1000}, uses=500, runner_up=(Decimal("250.50"), 300))
    page = client.get("/").text.partition('id="segments"')[2].partition('id="overview"')[0]
    listed = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)\N{NO-BREAK SPACE}%</td></tr>', page)
    votes = client.get("/votes?country=Peru").json["votes"]
    assert [tuple(float(cell.replace(",", "")) for cell in row) for row in listed] == [
        (vote["voucher_amount"], vote["uses"], 100 * vote["share"]) for vote in votes
    ]
    assert page.count("<summary>All 3 amounts") == page.count("<details") == len(votes) / 3


def test_a_single_amount_needs_no_list(still: FlaskClient) -> None:
    """A segment with one amount has no list of amounts."""
    assert "All 1 amount" not in part(still.get("/").text, "segments")


@pytest.mark.parametrize(
    ("settings", "country", "said"),
    [
        ({}, "Peru", "Amounts are in PEN, taken from the country."),
        ({}, "Utopia", None),
        ({"currency": "USD"}, "Peru", "Amounts are in USD, set by VOUCHER_CURRENCY."),
        ({"currency": "USD"}, "Utopia", "Amounts are in USD, set by VOUCHER_CURRENCY."),
    ],
)
def test_amounts_have_a_currency(
    database: str, tables: Tables, settings: Mapping[str, str], country: str, said: str | None
) -> None:
    """The page says which currency the amounts are in and where that is from; an unknown one is left out."""
    tables.publish(countries={"Peru": 30, "Utopia": 20})
    app = start(database, **settings)
    page = app.test_client().get(f"/?country={country}&segment_name=frequent_segment&total_orders=3").text
    stop(app)
    code = said.split()[3].rstrip(",") if said else ""
    found = re.search(r"Amounts are in .*?\.", part(page, "segments"))
    assert (found and found[0]) == said
    assert " ".join(f"Voucher {code} 1,000".split()) in part(page, "try")
    assert f"{country} {code}".strip() in part(page, "overview")
