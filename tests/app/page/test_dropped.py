"""How many rows each cleaning rule dropped, on the page."""

from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.page.conftest import Publish, part


def drop(run: CleanedRows) -> None:
    """Write rules with counts: `no_amount` also matches rows dropped by `no_orders`, and some rows have no country."""
    run.execute(
        """UPDATE voucher.run SET rows_in = 1000, rows_kept = 880 WHERE run_id = %(run)s;
        INSERT INTO voucher.rule VALUES (%(run)s, 1, 'missing_country_code', NULL, 'No country.', 0, 0),
            (%(run)s, 2, 'unreadable_amount', NULL, 'No number.', 0, 0),
            (%(run)s, 3, 'no_orders', 'total_orders IS NULL', 'It fits no segment.', 0, 1),
            (%(run)s, 4, 'no_amount', 'voucher_amount IS NULL', 'It says nothing.', 0, 1);
        INSERT INTO voucher.rule_outcome (run_id, country_code, rule, matched, dropped) VALUES
            (%(run)s, '', 'missing_country_code', 20, 20), (%(run)s, 'Peru', 'missing_country_code', 0, 0),
            (%(run)s, 'Peru', 'unreadable_amount', 0, 0),
            (%(run)s, 'Peru', 'no_orders', 40, 40), (%(run)s, 'Latvia', 'no_orders', 30, 30),
            (%(run)s, 'Peru', 'no_amount', 25, 10), (%(run)s, 'Latvia', 'no_amount', 20, 20);
        INSERT INTO voucher.unplaced VALUES (%(run)s, 'Peru', 'frequent_segment', 30),
            (%(run)s, 'Peru', 'recency_segment', 0)"""
    )


def test_the_funnel_of_a_country_and_of_all(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """The funnel shows all, dropped, matched and kept rows: unplaced ones as kept, those of no country in the total."""
    publish(countries={"Peru": 30, "Latvia": 90}, kinds={"frequent_segment": ("total_orders", [("0-4", 0, 4, 7), ("5+", 5, None, 8)])})  # fmt: skip
    drop(run)
    found = part(client.get("/?country=Peru").text, "dropped")
    assert "All rows of the history Peru 140 All countries 1,000" in found
    assert "No country. missing_country_code Peru -0 0.0 % matched 0 All countries -20 2.0 % matched 20" in found
    assert "It fits no segment. no_orders drops a row when total_orders IS NULL Peru -40 28.6 % matched 40" in found
    assert "It says nothing. no_amount drops a row when voucher_amount IS NULL Peru -10 7.1 % matched 25 All" in found
    assert "Kept rows, which are counted as votes Peru 90 64.3 % All countries 880 88.0 %" in found
    assert "1 more reasons" not in found
    assert "One more rule, for unreadable values, removed no row." in found


def test_the_bars_of_the_funnel_shrink(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """Each bar consists of the rows left and the rows dropped, and is as long as the rows left in the bar before."""
    publish(countries={"Peru": 60}, kinds={"frequent_segment": ("total_orders", [("0+", 0, None, 7)])})
    drop(run)
    page = client.get("/?country=Peru").text
    assert '<rect class="left" x="0" width="71.43" height="1"/><rect class="lost" x="71.43" width="28.57"' in page
    assert '<rect class="left" x="0" width="64.29" height="1"/><rect class="lost" x="64.29" width="7.14"' in page
    assert '<rect class="won" x="0" width="64.29"' in page
