"""The segments of a country: amounts, how sure they are, and what segments add."""

from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import KINDS
from tests.app.page.conftest import OTHER, Publish, part


def test_the_board_has_every_segment_of_the_country_with_most_rows(still: FlaskClient) -> None:
    """The page lists each segment with its measure and amount; without a country it shows the one with most rows."""
    board = part(still.get("/").text, "segments")
    assert "of Latvia" in board
    for measure, bounds in KINDS.values():
        unit = "orders" if measure == "total_orders" else "days since the last order"
        for label, _, _, amount in bounds:
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
        ((2, None, None, None), "(20 %) Too few sends to tell how sure that is (2)"),
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
    assert "Number of spend spend_segment 0+ spend: voucher 7" in part(page, "segments")
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
    run.execute("UPDATE voucher.current_run SET checked_at = checked_at + interval '1 second'")
    client.application.extensions["published"].refresh()
    board = part(client.get("/?country=Peru").text, "segments")
    assert (
        "Days since the first order tenure_segment New customers decide early. 0-99 days since the first order, new: voucher 7"
        in board
    )
    assert "0-29 days since the last order, active: voucher 2,000" in board
    titles = ["Days since the first order", "Number of orders", "Days since the last order"]
    assert sorted(titles, key=board.index) == titles
