"""The HTML page at /: its banners and state, what it escapes, and addresses that nothing is at."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Ask, Tables, start, stop
from tests.app.page.conftest import AT, EVIL, OTHER, Publish, part, words


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
    """The page shows the age of the data in words, marked after a year; no age if the data ends in the future."""
    now = datetime.now(UTC)
    ages = {1: "(1 day old)", 3: "(3 days old)", 400: " 13 months old ", 3000: " 8 years old ", -3: ""}
    for number, (days, said) in enumerate(ages.items()):
        publish(f"{number}" * 16, data_to=now - timedelta(days=days))
        page = client.get("/").text
        assert said in words(page)
        assert (" old" in words(page.partition("<dl")[2].partition("</dl>")[0])) == bool(said)
        assert ('<b class="mark old">' in page) == (days > 365)


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
    """What is read from memory stays; a page without the rest has no state, so it is requested again."""
    publish()
    run.execute("ALTER TABLE voucher.publication RENAME TO elsewhere")
    page = client.get("/").text
    assert "can't be shown while the database is down" in part(page, "runs")
    assert 'data-state=""' in page
    for name, amount in (("segments", "1,000"), ("overview", "1,000"), ("try", "1,200")):
        assert amount in part(page, name), name
    history = client.get("/history")
    assert (history.status_code, history.mimetype) == (503, "text/html")
    assert "Retry-After" in history.headers


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
    for name in ("segments", "overview", "try", "dropped", "runs"):
        assert "<img src=x onerror=alert(1)>" in part(page.text, name), name


@pytest.mark.parametrize("name", ["country", "segment_name", "total_orders", "last_order_ts", "old", "new", "overview"])
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
    """The page links to the documentation, the downloads and the runs, for people rather than programs."""
    page = standing.client.get("/?country=Peru").text
    downloads = [f"/segments.{kind}{country}" for kind in ("csv", "xlsx") for country in ("", "?country=Peru")]
    for path in (*downloads, "/redoc/", "/history", f"/history/{RUN}#rules"):
        assert f'href="{path}"' in page, path
        assert standing.client.get(path).status_code == (302 if path == "/redoc/" else 200)
    for path in ("/health", "/readyz", "/runs", "/rules"):
        assert f'href="{path}' not in page, path
    assert 'href="/assignments.csv?country=Peru"' in page


def test_an_unknown_path_is_a_page_for_a_browser(standing: Ask) -> None:
    """A browser that opens an unknown path gets a page; programs and other methods get problem+json."""
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    page = standing.client.get("/nowhere", headers=browser)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "There is no page at this address. See which voucher each customer gets" in words(page.text)
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert "Accept" in page.headers["Vary"]
    program = [standing.client.get("/nowhere", headers={"Accept": kind}) for kind in ("*/*", "application/json")]
    for answer in (*program, standing.client.get("/nowhere"), standing.client.post("/nowhere", headers=browser)):
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
        assert "Accept" in answer.headers["Vary"]
