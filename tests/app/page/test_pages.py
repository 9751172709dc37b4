"""The HTML page at /: segments, a customer to try, dropped rows and runs."""

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import KINDS, RUN, Ask, Tables, start, stop

Publish = Callable[..., None]

OTHER = "b" * 16
PLAIN = str.maketrans("\N{RIGHT SINGLE QUOTATION MARK}\N{EN DASH}\N{MINUS SIGN}", "'--")
AT = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>\"'&"


def words(html: str) -> str:
    """Return the visible text of the HTML, with single spaces and plain quotation marks, dashes and minus signs."""
    text = unescape(re.sub(r"<[^>]*>", " ", html)).translate(PLAIN)
    return " ".join(text.split()).replace(" :", ":").replace(" ,", ",")


def part(page: str, name: str) -> str:
    """Return the visible text of one of the page's four sections."""
    return words(page.partition(f'<section id="{name}"')[2].partition('<section id="')[0].partition("<footer")[0])


@pytest.fixture
def still(standing: Ask) -> FlaskClient:
    """Return a client of an app whose published run never changes: Peru, Latvia and São Tomé."""
    return standing.client


@pytest.fixture
def run(tables: Tables) -> CleanedRows:
    """Return the writer for the rows of run RUN that `publish` does not write."""
    return CleanedRows(tables.database)


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


def move(run: CleanedRows, at: datetime, to: str, previous: str | None, action: str, reason: str | None) -> None:
    run.execute(
        "INSERT INTO voucher.publication (at, run_id, previous_run_id, actor, action, reason)"
        " VALUES (%(at)s, %(to)s, %(previous)s, 'ana', %(action)s, %(reason)s)",
        **{"at": at, "to": to, "previous": previous, "action": action, "reason": reason},
    )


def test_the_board_has_every_segment_of_the_country_with_most_rows(still: FlaskClient) -> None:
    """The page lists each segment with its measure and amount; without a country it shows the one with most rows."""
    board = part(still.get("/").text, "segments")
    assert "of Latvia" in board
    for measure, bounds in KINDS.values():
        unit = "orders" if measure == "total_orders" else "days since the last order"
        for label, _, _, amount in bounds:
            assert f"{label} {unit}: voucher {amount:,}" in board


@pytest.mark.parametrize("country", ["Peru", "peru", "%20PERU%09"])
def test_the_country_stands_in_the_address(still: FlaskClient, country: str) -> None:
    """The country in the URL matches regardless of case and outer white space; the page shows its stored spelling."""
    page = still.get(f"/?country={country}")
    assert page.status_code == 200
    assert "Segments of Peru" in words(page.text)
    assert re.search(r'<a href="/\?country=Peru" aria-current="true">Peru</a>', page.text)
    assert "/segments.csv?country=Peru" in page.text


def test_another_country_keeps_the_rest_of_the_place(still: FlaskClient) -> None:
    """The links to other countries keep the tried customer and the compared runs, and drop other parameters."""
    page = still.get(f"/?country=Peru&segment_name=frequent_segment&total_orders=7&old={RUN}&new={RUN}&more=1").text
    link = unescape(re.search(r'<a href="(/\?country=Latvia[^"]*)"', page)[1])
    assert link == f"/?country=Latvia&segment_name=frequent_segment&total_orders=7&old={RUN}&new={RUN}"
    assert f'<input type="hidden" name="old" value="{RUN}">' in page


def test_an_unknown_country_is_met_with_the_known_ones(still: FlaskClient) -> None:
    """An unknown country gets a 404 with links to the known countries, and no section of another country's page."""
    page = still.get("/?country=Atlantis")
    assert page.status_code == 404
    assert "There is no voucher for “Atlantis”" in words(page.text)
    assert re.findall(r'<a href="/\?country=([^"]+)">', page.text) == ["Latvia", "Peru", "S%C3%A3o+Tom%C3%A9"]
    assert '<section id="segments"' not in page.text


def test_many_countries_are_behind_a_summary(publish: Publish, client: FlaskClient) -> None:
    """The page shows the eight largest countries; the list of the others is open if one of them is selected."""
    publish(countries={f"Land {number:02}": 100 - number for number in range(20)})
    page = client.get("/").text
    assert "12 more" in words(page)
    assert '<details id="more-countries">' in page
    assert '<details id="more-countries" open>' in client.get("/?country=Land%2019").text


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


def test_an_example_is_answered_before_anything_is_tried(still: FlaskClient) -> None:
    """Before a customer is tried, the form holds an example customer, and the page shows the answer for it."""
    page = still.get("/?country=Peru").text
    assert "15 orders, so segment 14-37: 1200 was used in 30 of 30 vouchers, 100 %." in part(page, "try")
    assert re.search(r'name="total_orders"[^>]* value="15"', page)
    assert re.search(r'name="last_order_ts"[^>]* value="2018-06-15"', page)


@pytest.mark.parametrize(
    ("query", "customer"),
    [
        ("segment_name=frequent_segment&total_orders=27", {"total_orders": 27}),
        ("segment_name=frequent_segment&total_orders=+27+&last_order_ts=soon", {"total_orders": 27}),
        ("segment_name=frequent_segment&total_orders=0", {"total_orders": 0}),
        ("segment_name=recency_segment&last_order_ts=2018-05-03", {"last_order_ts": "2018-05-03"}),
        ("segment_name=recency_segment&last_order_ts=2018-05-03T23:30:00-02:00&total_orders=", {"last_order_ts": "2018-05-04"}),
    ],
)  # fmt: skip
def test_a_tried_customer_is_answered_as_the_service_answers(
    still: FlaskClient, query: str, customer: dict[str, Any]
) -> None:
    """The page shows the amount and sentence of the API, and ignores the field of the other kind."""
    kind = query.partition("=")[2].partition("&")[0]
    answer = still.post("/voucher?explain=true", json={"country_code": "Peru", "segment_name": kind} | customer).json
    tried = part(still.get(f"/?country=Peru&{query}").text, "try")
    assert f"Voucher PEN {answer['voucher_amount']:,} {answer['because']}" in tried
    assert "Example" not in tried


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("segment_name=frequent_segment&total_orders=", "total_orders", "Enter the number of orders."),
        ("segment_name=frequent_segment", "total_orders", "Enter the number of orders."),
        *(
            (f"segment_name=frequent_segment&total_orders={given}", "total_orders", "Enter the number of orders as a whole number, 0 or more.")
            for given in ("many", "2.5", "-1", "1e3", "\u0663", "1%00", "9" * 5000)
        ),
        ("segment_name=recency_segment&total_orders=3", "last_order_ts", "Enter the day of the last order."),
        ("segment_name=recency_segment&last_order_ts=soon", "last_order_ts", "Enter the day of the last order like 2018-05-03."),
        ("segment_name=recency_segment&last_order_ts=2018-07-20", "last_order_ts", "Must not be more than a day after the reference day 2018-07-15"),
        ("segment_name=vip_segment", "segment_name", "Choose what the voucher depends on."),
        ("segment_name=", "segment_name", "Choose what the voucher depends on."),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said_beside_its_field(
    still: FlaskClient, query: str, field: str, said: str
) -> None:
    """An invalid field is marked, keeps its value and has an error message beside it; the page shows no answer."""
    response = still.get(f"/?country=Peru&{query}")
    assert response.status_code == 200
    assert said in words(re.search(rf'<p class="error" id="{field}-error">(.*?)</p>', response.text, re.DOTALL)[1])
    assert f'aria-invalid="true" aria-describedby="{field}-error"' in response.text
    assert words(response.text).startswith("Error - Voucher Select")
    assert "curl" not in part(response.text, "try")
    if (given := query.rpartition("=")[2]) in ("many", "2.5", "soon"):
        assert f'value="{given}"' in response.text


@pytest.mark.parametrize("country", ["Peru", "Côte d'Ivoire", 'A "quoted" \\ one; $(date) `date`', "<b>"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_does_the_same_in_a_shell(publish: Publish, client: FlaskClient, country: str, kind: str) -> None:
    """The curl command passes any country as one argument, and its request gets the answer of the page."""
    publish(countries={country: 5})
    page = client.get("/", query_string={"segment_name": kind, "total_orders": "3", "last_order_ts": "2018-07-01"}).text
    command = unescape(re.search(r'<code id="command">(.*?)</code>', page, re.DOTALL)[1])
    shell = ["sh", "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"]
    url, *header, data, body = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    assert url == "http://localhost/voucher?explain=true"
    assert (header, data) == (["--header", "Content-Type: application/json"], "--data-raw")
    answer = client.post(url, data=body.encode(), content_type="application/json")
    assert answer.json["because"] in unescape(page)
    assert json.loads(body)["country_code"] == country


def test_the_command_bears_a_key_where_one_is_needed(database: str, tables: Tables) -> None:
    """If keys are set, the curl command names a shell variable for the key, and the page takes a key as password."""
    tables.publish()
    app = start(database, api_keys=("a-key-of-16-or-more",))
    client = app.test_client()
    refused, page = client.get("/"), client.get("/", auth=("marketing", "a-key-of-16-or-more"))
    stop(app)
    assert (refused.status_code, page.status_code) == (401, 200)
    assert '--header "Authorization: Bearer $VOUCHER_API_KEY"' in unescape(page.text)
    assert "a-key-of" not in page.text


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


def test_the_runs_are_a_timeline(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """Publications are listed newest first with time, action, actor, reason and rows; the live one is marked."""
    publish(OTHER)
    publish(RUN)
    run.execute("UPDATE voucher.run SET rows_kept = 361588")
    for minute, (to, previous, action, reason) in enumerate(
        [(RUN, None, "publish", None), (OTHER, RUN, "force", "The June files"), (RUN, OTHER, "rollback", "A draft")]
    ):
        move(run, AT + timedelta(minutes=minute), to, previous, action, reason)
    found = part(client.get("/").text, "runs")
    assert "1 Mar 2026, 04:32 UTC Rolled back Live by ana Run aaaaaaa A draft 361,588 rows kept" in found
    assert "Forced by ana Run bbbbbbb The June files" in found
    assert found.index("04:32") < found.index("04:31") < found.index("04:30")
    assert found.count("Live") == 1
    assert "data up to 14 Jul 2018, 21:00 UTC" in found


def test_changed_definitions_stand_above_the_answers(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """The comparison says in words how source, row counts, rules and kinds differ; a run with itself has no words."""
    publish(OTHER)
    publish(RUN)
    run.execute("UPDATE voucher.run SET source = 's3://b/' || left(run_id, 1), rows_in = 5000, rows_kept = 4000")
    run.execute(f"UPDATE voucher.run SET rows_in = 6000 WHERE run_id = '{RUN}'")
    run.execute(f"UPDATE voucher.kind SET title = '<b>Loyal' WHERE (run_id, position) = ('{RUN}', 0)")
    run.execute(f"INSERT INTO voucher.rule VALUES ('{RUN}', 90, 'late', 'total_orders > 900', 'Odd.', 0, 0.2)")
    page = client.get(f"/?old={OTHER}&new={RUN}").text
    found = part(page, "runs")
    assert "the source is s3://b/a; before, s3://b/b 6,000 rows were read; before, 5,000" in found
    assert "rule late is new: drops rows where total_orders > 900 (Odd.); expects 0 % to 20 %" in found
    assert "&lt;b&gt;Loyal" in page
    assert found.index("rule late is new") < found.index("Both runs have the same answers.")
    assert "rows were read" not in part(client.get(f"/?old={RUN}&new={RUN}").text, "runs")


def test_what_changed_between_two_runs(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """The comparison lists changed answers by country, old to new; a segment that one run lacks is named as missing."""
    few = ("total_orders", [("0-9", 0, 9, 100), ("10+", 10, None, 200)])
    publish(OTHER, kinds={"frequent_segment": few}, countries={"PERU": 30, "Chile": 4})
    more = ("total_orders", [("0-9", 0, 9, 150), ("10-19", 10, 19, 300), ("20+", 20, None, 200)])
    publish(RUN, kinds={"frequent_segment": more}, countries={"Peru": 40}, uses=10)
    found = part(client.get(f"/?old={OTHER}&new={RUN}").text, "runs")
    assert "Peru 2 changed Segment Old New 0-9 orders 100 100 % → 150 25 %" in found
    assert "10-19 orders 200 100 % → 300 25 %" in found
    assert "frequent_segment: 10+ becomes 10-19 and 20+" in found
    assert found.index("becomes") < found.index("Peru 2 changed")
    assert "Chile 2 changed Segment Old New 0-9 orders 100 100 % → no such segment" in found
    assert found.index("Chile 2") < found.index("Peru 2")
    back = part(client.get(f"/?old={RUN}&new={OTHER}").text, "runs")
    assert "0-9 orders 150 25 % → 100 100 %" in back


def test_the_newest_publication_is_compared_with_what_it_replaced(
    publish: Publish, client: FlaskClient, run: CleanedRows
) -> None:
    """By default the page compares the latest run with the one it replaced; with a single run it compares nothing."""
    kind = {"frequent_segment": ("total_orders", [("0+", 0, None, 7)])}
    publish(OTHER, kinds=kind)
    move(run, AT, OTHER, None, "publish", None)
    assert "There is only one run so far." in part(client.get("/").text, "runs")
    publish(RUN, kinds=kind)
    move(run, AT + timedelta(minutes=1), RUN, OTHER, "publish", None)
    page = client.get("/").text
    assert "Both runs have the same answers." in part(page, "runs")
    assert f'<option value="{OTHER}" selected>' in page
    assert f"old={OTHER}&amp;new={RUN}#compared" in page


@pytest.mark.parametrize("name", ["c" * 16, "x", "1%00", "'; DROP TABLE voucher.run; --", "A" * 16])
def test_a_run_that_is_not_there_has_nothing_to_compare(still: FlaskClient, name: str) -> None:
    """The comparison says that an unknown run has no answers; the rest of the page is complete."""
    page = still.get(f"/?old={name}&new={RUN}")
    assert page.status_code == 200
    assert "One of these runs has no answers in the database." in part(page.text, "runs")
    assert "of Latvia" in part(page.text, "segments")


def test_nothing_published_says_what_to_do(client: FlaskClient) -> None:
    """Before the first run, the page names the DAG to switch on, regardless of the query parameters."""
    for path in ("/", f"/?country=Peru&old={RUN}"):
        page = client.get(path)
        assert page.status_code == 200
        assert "Switch on the DAG Voucher_Select" in words(page.text)
        assert "<form" not in page.text


def test_a_run_without_an_answer_says_so(publish: Publish, client: FlaskClient) -> None:
    """If the published run has no answers, such as a forced run that kept no rows, the page says so."""
    publish(countries={}, data_to=None)
    page = client.get("/?country=Peru")
    assert page.status_code == 200
    assert "The published run has no answers" in words(page.text)


@pytest.mark.parametrize(("url", "links"), [("", 0), ("https://airflow.example/base", 3)])
def test_links_to_airflow_lead_where_the_setting_says(database: str, tables: Tables, url: str, links: int) -> None:
    """Pages that ask the user to act link to the DAG in Airflow; if the setting is unset, there are no links."""
    app = start(database, airflow_url=url)
    client = app.test_client()
    nothing = client.get("/").text
    tables.publish(checked_at=AT)
    app.extensions["published"].refresh()
    stale = client.get("/").text
    stop(app)
    assert (nothing + stale).count("airflow.example") == links + bool(links)
    assert ('href="https://airflow.example/base/dags/Voucher_Select"' in nothing) == bool(links)


def test_stale_answers_have_a_banner(publish: Publish, client: FlaskClient) -> None:
    """A stale run gets a banner with the time of its last check and what to check; a fresh run gets none."""
    publish(checked_at=datetime.now(UTC) - timedelta(hours=35))
    assert 'class="banner' not in client.get("/").text
    publish(OTHER, checked_at=AT)
    banner = words(client.get("/").text)
    assert "These answers may be out of date." in banner
    assert "at 1 Mar 2026, 04:30 UTC, more than 36 hours ago" in banner
    assert "whether Voucher_Select is switched on" in banner


@pytest.mark.parametrize("path", ["/", "/?country=Atlantis"])
def test_sample_data_has_a_banner(publish: Publish, client: FlaskClient, path: str) -> None:
    """A banner above the content marks sample data until a run from another history is published."""
    publish(synthetic=[True])
    main = words(client.get(path).text.partition("<main")[2].partition("<section")[0])
    assert "Sample data. These answers come from the built-in synthetic sample, which is invented" in main
    assert "Source The synthetic sample" in words(client.get(path).text)
    publish(OTHER, synthetic=[False])
    assert "Sample data" not in words(client.get(path).text)


def test_the_page_names_the_source_and_no_secret_of_it(publish: Publish, client: FlaskClient) -> None:
    """The page shows the source redacted: a signed URL is reduced to its server and a hash that identifies it."""
    publish(source="https://me:hunter2@example.org/history.parquet?signature=hunter2")
    page = client.get("/").text
    assert re.search(r"Source https://example.org/\.\.\.[0-9a-f]{8} ", words(page))
    assert "hunter2" not in page


def test_tables_of_another_version_have_a_banner(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """A banner says that the service does not support the version of the tables."""
    publish()
    run.execute("UPDATE voucher.alembic_version SET version_num = 'later'")
    client.application.extensions["published"].refresh()
    assert "The tables have a version that this service does not support." in words(client.get("/").text)


def test_the_age_of_the_data_is_shown(publish: Publish, client: FlaskClient) -> None:
    """The page shows the age of the data in words, and no age if the data ends in the future."""
    now = datetime.now(UTC)
    ages = {1: "(1 day old)", 3: "(3 days old)", 400: "(13 months old)", 3000: "(8 years old)", -3: ""}
    for number, (days, said) in enumerate(ages.items()):
        publish(f"{number}" * 16, data_to=now - timedelta(days=days))
        page = words(client.get("/").text)
        assert said in page
        assert ("old)" in page) == bool(said)


def test_the_state_tells_whether_the_page_would_say_something_else(publish: Publish, client: FlaskClient) -> None:
    """Any query gets a 304 while nothing changes; a publication, a check or a stale run changes the ETag."""
    states = []
    for step in (
        lambda: None,
        publish,
        lambda: publish(OTHER, checked_at=AT),
        lambda: publish("c" * 16, checked_at=AT + timedelta(hours=1)),
    ):
        step()
        first = client.get("/")
        states.append(first.headers["ETag"])
        again = client.get("/?country=Peru", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert re.fullmatch(r'W/"[0-9a-f]{16}"', states[-1])
        assert f'data-state="{states[-1][3:-1]}"' in first.text
    assert len(set(states)) == len(states)
    assert client.get("/", headers={"If-None-Match": states[0]}).status_code == 200


def test_a_part_that_could_not_be_read_is_asked_for_again(
    publish: Publish, client: FlaskClient, run: CleanedRows
) -> None:
    """A page with an unreadable section has no state, so it is requested again, even if the database counts as up."""
    publish()
    run.execute("ALTER TABLE voucher.publication RENAME TO elsewhere")
    page = client.get("/").text
    assert "can't be shown while the database is down" in part(page, "runs")
    assert 'data-state=""' in page


def test_html_in_what_is_published_is_shown_as_text(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """The page escapes HTML in countries, kinds, labels, measures, rules, reasons and actors."""
    kinds = {EVIL: ("total_orders", [(EVIL, 0, None, 7)]), f"{EVIL}2": (EVIL, [("0+", 0, None, 8)])}
    publish(OTHER, countries={EVIL: 5}, kinds={})
    publish(countries={EVIL: 6, "Peru": 5}, kinds=kinds, uses=4, runner_up=(3, 1))
    run.execute(
        """UPDATE voucher.run SET source = %(evil)s;
        INSERT INTO voucher.rule VALUES (%(run)s, 1, %(evil)s, %(evil)s, %(evil)s, 0, 1);
        INSERT INTO voucher.rule_outcome VALUES (%(run)s, %(evil)s, %(evil)s, 3, 3, %(evil)s);
        INSERT INTO voucher.publication (run_id, previous_run_id, actor, reason)
            VALUES (%(run)s, %(evil)s, %(evil)s, %(evil)s), (%(other)s, NULL, %(evil)s, %(evil)s)""",
        evil=EVIL,
        other=OTHER,
    )
    page = client.get("/", query_string={"country": EVIL, "segment_name": EVIL, "total_orders": "1"})
    assert page.status_code == 200
    assert page.text.count(EVIL) == 0
    assert "<img src=x" not in page.text
    for name in ("segments", "try", "dropped", "runs"):
        assert "<img src=x onerror=alert(1)>" in unescape(page.text).partition(f'id="{name}"')[2]


@pytest.mark.parametrize("name", ["country", "segment_name", "total_orders", "last_order_ts", "old", "new"])
def test_html_in_the_address_is_shown_as_text(still: FlaskClient, name: str) -> None:
    """The page escapes HTML in query parameters everywhere: in fields, links, messages and the title."""
    place = {"segment_name": "frequent_segment", "total_orders": "x", "old": RUN, "new": RUN} | {name: EVIL}
    page = still.get("/", query_string=place)
    assert page.status_code == (404 if name == "country" else 200)
    assert EVIL not in page.text
    assert "<img src=x" not in page.text
    assert "onerror" in page.text


def test_there_is_an_icon(standing: Ask) -> None:
    """The icon is served at the path in the page and at /favicon.ico, which browsers request by default."""
    path = re.search(r'<link rel="icon" [^>]*href="([^"]+)"', standing.client.get("/").text)[1]
    for icon in (path, "/favicon.ico"):
        response = standing.client.get(icon)
        assert (response.status_code, response.mimetype) == (200, "image/svg+xml")


def test_the_page_says_what_else_there_is(standing: Ask) -> None:
    """The page links to the documentation, the downloads and health, and each link works."""
    page = standing.client.get("/?country=Peru").text
    for path in ("/redoc/", "/segments.csv", "/segments.csv?country=Peru", "/health", "/runs", "/rules"):
        assert f'href="{path}"' in page, path
        assert standing.client.get(path).status_code == (302 if path == "/redoc/" else 200)
    assert 'href="/assignments.csv?country=Peru"' in page
