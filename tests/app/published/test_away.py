"""A Postgres outage: what each part of the service answers during and after it."""

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app.published.database import DatabaseUnavailableError
from dev.processes import until
from dev.services.postgres import Postgres
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Ask, Tables, start, stop

ROWS = 60_000  # a download of many pages
READ = ("/rules", "/runs", f"/runs/{RUN}", "/assignments.csv?country=Peru")


def gauges(client: FlaskClient) -> dict[str, float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {sample.name: sample.value for family in families if family.type == "gauge" for sample in family.samples}


def test_the_app_starts_without_its_database(own_postgres: Postgres) -> None:
    """The app starts without Postgres and answers 503, then recovers by itself when Postgres is up."""
    own_postgres.kill()
    app = start(own_postgres.url())
    ask = Ask(app.test_client())
    try:
        assert ask().status_code == 503
        assert ask.client.get("/livez").status_code == 200
        own_postgres.start()
        Tables(own_postgres.url()).publish()
        assert until(lambda: ask().status_code == 200, 5), ask().text
    finally:
        stop(app)


def test_answers_go_on_from_memory_while_postgres_is_away(own_postgres: Postgres) -> None:
    """While Postgres is down, amounts, segments and the page are served from memory, what is read from it gets a 503
    with Retry-After, and a download fails. Once it is up, all is answered and a new run is loaded, without a restart.
    """
    tables = Tables(own_postgres.url())
    CleanedRows.published(tables).generate(ROWS)
    app = start(own_postgres.url(), poll_seconds=0.05, downloads=1)
    ask = Ask(client := app.test_client())
    try:
        assert [client.get(path).status_code for path in READ] == [200] * len(READ)
        before = gauges(client)
        assert (before["voucher_database_up"], before["voucher_fresh"]) == (1, 1)
        download = client.get("/assignments.csv", buffered=False)
        chunks = download.iter_encoded()
        next(chunks), next(chunks)

        own_postgres.kill()
        with pytest.raises(DatabaseUnavailableError):
            list(chunks)
        download.close()
        assert until(lambda: client.get("/readyz").json["status"] == "degraded", 5)
        assert client.get("/readyz").json["failing"] == ["database"]
        assert gauges(client) == before | {"voucher_database_up": 0}
        assert ask.amount() == 1000
        assert len(client.get("/segments").json["segments"]) == client.get("/segments.csv").text.count("\n") - 1 == 30
        for path in READ:
            refused = client.get(path)
            assert (refused.status_code, refused.json["type"]) == (503, "urn:voucher-select:database-away")
            assert refused.headers["Retry-After"] == "5"
        page = client.get("/?country=Peru&segment_name=frequent_segment&total_orders=3")
        assert page.status_code == 200
        assert page.text.count("shown while the database is down") == 2
        assert client.get("/?country=Atlantis").status_code == 404

        own_postgres.start()
        tables.publish("b" * 16, kinds={"frequent_segment": ("total_orders", [("0+", 0, None, 7)])})
        assert until(lambda: ask.amount() == 7, 5), ask().text
        assert client.get("/readyz").json["status"] == "ok"
        assert [client.get(path.replace("csv?", f"csv?run={RUN}&")).status_code for path in READ] == [200] * len(READ)
    finally:
        stop(app)
