"""The cleaned rows as CSV: format, selection of rows, and how a download ends."""

import csv
import gc
import io
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise

import duckdb
import pandas
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.reports.rows.downloads import RowsGoneError
from app.web.streams import TooSlowError
from dev.services.postgres import Postgres
from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import RUN, Tables, start, stop

HEADER = "timestamp,country_code,first_order_ts,last_order_ts,total_orders,voucher_amount\r\n"
OTHER = "b" * 16
MANY, SOME = 100_000, 21_000  # rows, which take 20 and 4 pages

Load = Callable[..., CleanedRows]


@pytest.fixture
def load(app: Flask, tables: Tables) -> Load:
    """Return a function that publishes a run with these cleaned rows and makes the app load it at once."""

    def load(*rows: object, run_id: str = RUN) -> CleanedRows:
        loaded = CleanedRows.published(tables, run_id, [row for row in rows if isinstance(row, tuple)])
        app.extensions["published"].refresh()
        return loaded

    return load


@pytest.fixture(scope="module")
def still(postgres: Postgres, template: str) -> Iterator[FlaskClient]:
    """Yield a client of an app whose published run, with one row, never changes: for tests that only read."""
    postgres.create("still", template)
    CleanedRows.published(Tables(postgres.url("still")), rows=[of("Peru")])
    app = start(postgres.url("still"))
    yield app.test_client()
    stop(app)


def of(country: str, amount: object = 1) -> tuple[object, ...]:
    return ("2018-05-03", country, None, None, 3, amount)


def rows(response: TestResponse) -> list[list[str]]:
    """Return the rows of a response. Fail if its status, length or header is wrong."""
    assert response.status_code == 200, response.text
    assert response.content_length == len(response.data)
    assert response.text.startswith(HEADER)
    return list(csv.reader(io.StringIO(response.text, newline="")))[1:]


def begun(client: FlaskClient, path: str = "/assignments.csv") -> Iterator[bytes]:
    """Start a download, read two chunks and return the iterator over the others."""
    response = client.get(path, buffered=False)
    assert response.status_code == 200, response.text
    chunks = response.iter_encoded()
    assert next(chunks).decode() == HEADER
    assert next(chunks)
    return chunks


LINES: list[tuple[tuple[object, ...], str]] = [
    (
        ("2018-05-03 10:30:00", "Peru", "2017-05-03", "2018-05-01 23:59:59", 15, 2640),
        "2018-05-03T10:30:00.000000Z,Peru,2017-05-03T00:00:00.000000Z,2018-05-01T23:59:59.000000Z,15,2640",
    ),
    ((None, "Peru", None, None, None, None), ",Peru,,,,"),
    (("2018-05-03 10:30:00.25", "Peru", None, None, 0, 0), "2018-05-03T10:30:00.250000Z,Peru,,,0,0"),
    (("2018-05-03 00:30+02:00", "Peru", None, None, 0, "0.5"), "2018-05-02T22:30:00.000000Z,Peru,,,0,0.5"),
    (("9999-12-31 23:59:59.999999", "P", None, None, 1, 1), "9999-12-31T23:59:59.999999Z,P,,,1,1"),
    (("9999-12-31 23:59-05:00", "P", None, None, 1, 1), "10000-01-01T04:59:00.000000Z,P,,,1,1"),
    (
        ("100000-01-01", "P", "0001-01-01", None, 1, 1),
        "100000-01-01T00:00:00.000000Z,P,0001-01-01T00:00:00.000000Z,,1,1",
    ),
    (("infinity", "P", "-infinity", None, -1, "-0.50"), ",P,,,-1,-0.5"),
    ((None, "Peru", None, None, 2147483647, "9999999999.99"), ",Peru,,,2147483647,9999999999.99"),
    ((None, "Peru", None, None, 1, "0.10"), ",Peru,,,1,0.1"),
    ((None, "Peru", None, None, 1, "1000000"), ",Peru,,,1,1000000"),
    ((None, "São Tomé", None, None, 1, 1), ",São Tomé,,,1,1"),
    ((None, " 日本 ", None, None, 1, 1), ", 日本 ,,,1,1"),
    ((None, 'Bonaire, "Saba"', None, None, 1, 1), ',"Bonaire, ""Saba""",,,1,1'),
    ((None, "two\nlines", None, None, 1, 1), ',"two\nlines",,,1,1'),
    ((None, "two\r\nlines", None, None, 1, 1), ',"two\r\nlines",,,1,1'),
    ((None, "it's 100% \\N {0} :x", None, None, 1, 1), ",it's 100% \\N {0} :x,,,1,1"),
    ((None, "'; DROP TABLE voucher.run", None, None, 1, 1), ",'; DROP TABLE voucher.run,,,1,1"),
    *(
        ((None, f"{sign}cmd()", None, None, 1, 1), f",'{sign}cmd(),,,1,1")
        for sign in ("=", "+", "-", "@", " =", "\t", "\u3000=", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    ),
    ((None, "\r=1", None, None, 1, 1), ',"\'\r=1",,,1,1'),
    ((None, "\n=1", None, None, 1, 1), ',"\'\n=1",,,1,1'),
    ((None, "Guinea-Bissau", None, None, 1, 1), ",Guinea-Bissau,,,1,1"),
]


def test_a_row_is_a_line(load: Load, client: FlaskClient) -> None:
    """Times are in UTC (ISO 8601), amounts plain numbers, NULL empty; quotes are minimal, and no cell is a formula."""
    load(*(row for row, _ in LINES))
    response = client.get("/assignments.csv")
    assert response.text == HEADER + "".join(f"{line}\r\n" for _, line in LINES)
    assert response.content_length == len(response.data)


def test_times_are_of_one_width(load: Load, client: FlaskClient) -> None:
    """All times have one width, so pandas and DuckDB parse the columns as times, regardless of the first row."""
    times = ("2018-06-23 17:18:31", "2018-06-23 17:18:31.5", "2018-06-23", "1000-01-01 00:00:00.000001")
    load(*((time, "Peru", time, None if place else time, 1, 1) for place, time in enumerate(times)))
    text = client.get("/assignments.csv").text
    columns = ["timestamp", "first_order_ts", "last_order_ts"]
    assert {len(line[column]) for line in csv.DictReader(io.StringIO(text)) for column in columns} == {0, 27}
    recent = "".join(text.splitlines(keepends=True)[:-1])  # times in pandas begin in 1677
    frame = pandas.read_csv(io.StringIO(recent), parse_dates=columns)
    assert [str(frame[column].dt.tz) for column in columns] == ["UTC"] * 3
    with duckdb.connect() as connection:
        found = connection.read_csv(io.StringIO(text))
        types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert [types[column] for column in columns] == ["TIMESTAMP WITH TIME ZONE"] * 3


def test_the_answer_says_what_it_is(load: Load, client: FlaskClient) -> None:
    """The response is CSV in UTF-8, names the run, and has a file name with country and run."""
    load(of("São Tomé"))
    response = client.get("/assignments.csv?country=são tomé")
    assert response.content_type == "text/csv; charset=utf-8"
    assert response.headers["Voucher-Run"] == RUN
    assert response.headers["Content-Disposition"] == f"attachment; filename=assignments-Sao_Tome-{RUN}.csv"
    assert client.get("/assignments.csv").headers["Content-Disposition"].endswith(f"=assignments-{RUN}.csv")


@pytest.mark.parametrize(
    ("country", "name"),
    [("日本", ""), ("../../etc/passwd", "etc_passwd-"), ('a"; x="\r\nSet-Cookie: b', "a_x_Set-Cookie_b-")],
)
def test_no_country_breaks_out_of_the_name(load: Load, client: FlaskClient, country: str, name: str) -> None:
    """The file name only has safe characters, regardless of the country."""
    load(of(country))
    response = client.get("/assignments.csv", query_string={"country": country})
    assert response.headers["Content-Disposition"] == f"attachment; filename=assignments-{name}{RUN}.csv"


def test_no_country_is_every_country(load: Load, client: FlaskClient) -> None:
    """Without a country, all rows are returned in the order in which they were loaded, part by part."""
    load(of("Peru", 1), of("Latvia", 2), of("Peru", 3)).load(of("Chile", 4))
    assert [row[5] for row in rows(client.get("/assignments.csv"))] == ["1", "2", "3", "4"]


def test_other_rows_of_the_partition_stay_out(load: Load, client: FlaskClient) -> None:
    """Rows of a part that is not in the run are left out, even if the run loaded them."""
    loaded = load(of("Peru", 1))
    loaded.load(of("Peru", 2), of("Chile", 3))
    loaded.execute("DELETE FROM voucher.run_part WHERE part_id = (SELECT max(part_id) FROM voucher.run_part)")
    assert [row[5] for row in rows(client.get("/assignments.csv"))] == ["1"]
    assert client.get("/assignments.csv?country=Chile").status_code == 404


def test_rows_that_another_run_loaded_are_read_too(load: Load, tables: Tables, client: FlaskClient) -> None:
    """A run includes rows that another run loaded, from that run's partition."""
    load(of("Peru", 1))
    later = CleanedRows.published(tables, OTHER, [of("Peru", 2)])
    later.execute(
        "INSERT INTO voucher.run_part SELECT %(run)s, part_id, run_id FROM voucher.run_part WHERE run_id <> %(run)s"
    )
    found = rows(client.get(f"/assignments.csv?run={OTHER}"))
    assert [row[5] for row in found] == ["1", "2"]


def test_an_earlier_run_can_be_had(load: Load, client: FlaskClient) -> None:
    """An earlier run can be downloaded by its id while its rows are kept, and the response names it."""
    load(of("Peru", 1))
    load(of("Chile", 2), run_id=OTHER)
    assert [row[5] for row in rows(client.get("/assignments.csv"))] == ["2"]
    earlier = client.get(f"/assignments.csv?run={RUN}&country=peru")
    assert ([row[5] for row in rows(earlier)], earlier.headers["Voucher-Run"]) == (["1"], RUN)


def test_a_run_without_rows_is_a_header(load: Load, client: FlaskClient) -> None:
    """A run without rows, such as a forced one, returns the header only."""
    load()
    assert client.get("/assignments.csv").text == HEADER


def refused(response: TestResponse) -> tuple[int, str]:
    """Return status and type of a problem. Fail if the response is not a problem."""
    assert response.mimetype == "application/problem+json", response.text
    assert response.status_code == response.json["status"]
    return response.status_code, response.json["type"].removeprefix("urn:voucher-select:")


def test_an_unknown_country_is_told_the_known_ones(load: Load, client: FlaskClient) -> None:
    """An unknown country gets a 404 that lists the run's countries in their most common spelling, most rows first."""
    load(of("Latvia"), of("peru"), of(" Peru "), of(" Peru "))
    response = client.get("/assignments.csv?country=Atlantis")
    assert refused(response) == (404, "unknown-country")
    assert response.json["known"] == ["Peru", "Latvia"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(
            ("country=", "country"),
            ("country=%20", "country"),
            ("run=", "run"),
            ("run=x", "run"),
            (f"run={RUN}0", "run"),
        ),
        *((f"run={RUN.upper()}", "run"), (f"run={RUN}%0A", "run"), ("run=%00", "run"), ("country=%00&run='--", "run")),
    ],
)
def test_a_query_that_cannot_be_used_is_a_bad_value(still: FlaskClient, query: str, field: str) -> None:
    """An invalid query parameter gets a 422 that names it, as for a field of a body."""
    response = still.get(f"/assignments.csv?{query}")
    assert refused(response) == (422, "bad-value")
    assert [error["field"] for error in response.json["errors"]] == [field]


@pytest.mark.parametrize("country", ["\x00", "\ud800", "'; DROP TABLE voucher.run", "%s", "<script>", "x" * 5000])
def test_a_hostile_country_is_unknown_and_nothing_more(still: FlaskClient, country: str) -> None:
    """A malicious country gets a 404 without markup, and the next request is answered."""
    response = still.get("/assignments.csv", query_string={"country": country.encode(errors="surrogatepass")})
    assert refused(response) == (404, "unknown-country")
    assert b"<" not in response.data
    assert len(rows(still.get("/assignments.csv"))) == 1


def test_an_unknown_run_is_told_where_the_known_ones_stand(load: Load, client: FlaskClient) -> None:
    """An unknown run gets a 404 that refers to /runs, as does a run that was never published."""
    load(of("Peru"))
    response = client.get(f"/assignments.csv?run={OTHER}")
    assert refused(response) == (404, "unknown-run")
    assert "/runs" in response.json["detail"]
    load(of("Chile"), run_id=OTHER).execute("DELETE FROM voucher.publication WHERE run_id = %(run)s")
    assert refused(client.get(f"/assignments.csv?run={OTHER}")) == (404, "unknown-run")


def test_rows_of_a_pruned_run_are_gone(load: Load, client: FlaskClient) -> None:
    """The rows of a pruned run get a 410, even while they are being loaded again."""
    loaded = load(of("Peru"))
    assert len(rows(client.get("/assignments.csv"))) == 1
    loaded.drop()
    assert refused(client.get(f"/assignments.csv?run={RUN}")) == (410, "rows-gone")
    loaded.execute("UPDATE voucher.run SET finished_at = NULL; SELECT voucher.open_partition(%(run)s)")
    assert refused(client.get(f"/assignments.csv?run={RUN}")) == (410, "rows-gone")


def test_rows_that_were_loaded_anew_are_had_again(load: Load, client: FlaskClient) -> None:
    """After rows are loaded again, the cached counts of the dropped partition are not used."""
    loaded = load(of("Peru", 1))
    assert len(rows(client.get("/assignments.csv"))) == 1
    loaded.drop()
    loaded.load(of("Chile", 2), of("Chile", 3))
    assert [row[5] for row in rows(client.get(f"/assignments.csv?run={RUN}&country=chile"))] == ["2", "3"]


def test_before_the_first_publication_there_are_no_rows(client: FlaskClient) -> None:
    """Before the first publication, the download gets a 503."""
    assert refused(client.get("/assignments.csv")) == (503, "nothing-published")


def test_a_download_is_never_held_in_memory(load: Load, client: FlaskClient) -> None:
    """A download of 100,000 rows is streamed page by page: Python never holds as much as a fifth of it in memory."""
    load(of("Peru")).generate(MANY)
    client.get("/assignments.csv?country=Peru", buffered=False).close()  # fills the caches
    gc.collect()
    tracemalloc.start()
    response = client.get("/assignments.csv", buffered=False)
    size = lines = 0
    for chunk in response.iter_encoded():
        size += len(chunk)
        lines += chunk.count(b"\r\n")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (size, lines) == (response.content_length, MANY + 2)
    assert peak < size / 5, f"{peak} of {size} bytes were held at once"


def test_pages_neither_lose_nor_repeat_a_row(load: Load, client: FlaskClient) -> None:
    """The pages of a download contain each row of a country once, in order."""
    load().generate(SOME)
    found = [int(row[4]) for row in rows(client.get("/assignments.csv?country=latvia"))]
    assert (len(found), found[0], found[-1]) == (SOME // 3, 3, SOME)
    assert all(later - earlier == 3 for earlier, later in pairwise(found))


def test_a_download_stands_in_nobodys_way(load: Load, client: FlaskClient) -> None:
    """A download holds no lock: its partition can be dropped. It then fails instead of ending as if complete."""
    loaded = load()
    loaded.generate(SOME)
    chunks = begun(client)
    loaded.drop()
    with pytest.raises(RowsGoneError):
        list(chunks)


def test_a_download_does_not_go_on_in_other_rows(load: Load, client: FlaskClient) -> None:
    """A download fails if its rows are dropped and loaded again, instead of continuing with the new rows."""
    loaded = load()
    loaded.generate(SOME)
    chunks = begun(client)
    loaded.drop()
    loaded.execute("SELECT voucher.open_partition(%(run)s)")
    loaded.generate(SOME)
    with pytest.raises(RowsGoneError):
        list(chunks)


def test_rows_that_lie_elsewhere_are_named(load: Load, client: FlaskClient) -> None:
    """If the cleaned rows of a run are in S3, the problem says where."""
    loaded = load()
    loaded.execute("UPDATE voucher.run SET rows_uri = 's3://bucket/cleaned/' WHERE run_id = %(run)s")
    response = client.get("/assignments.csv")
    assert (response.status_code, response.json["type"]) == (404, "urn:voucher-select:rows-elsewhere")
    assert "are in Parquet files under s3://bucket/cleaned/" in response.json["detail"]


@pytest.fixture
def one_place(database: str, tables: Tables) -> Iterator[FlaskClient]:
    """Yield a client of an app that allows one download at a time and has rows of several pages."""
    CleanedRows.published(tables).generate(SOME)
    app = start(database, downloads=1)
    yield app.test_client()
    stop(app)


def free(client: FlaskClient) -> bool:
    """Return whether a download slot is free. The slot is released."""
    response = client.get("/assignments.csv", buffered=False)
    response.close()
    assert response.status_code in (200, 503), response.text
    return response.status_code == 200


def test_there_are_so_many_downloads_at_once(one_place: FlaskClient) -> None:
    """A download above the limit gets a 503 with Retry-After; other requests are answered."""
    response = one_place.get("/assignments.csv", buffered=False)
    refusal = one_place.get("/assignments.csv")
    assert refused(refusal) == (503, "too-many-downloads")
    assert refusal.headers["Retry-After"] == "10"
    assert one_place.get("/segments").status_code == one_place.get("/runs").status_code == 200
    response.close()
    assert free(one_place)


def test_a_forgotten_download_gives_its_place_back(one_place: FlaskClient) -> None:
    """A download that is garbage-collected without being closed releases its slot."""
    response = one_place.get("/assignments.csv", buffered=False)
    assert not free(one_place)
    del response
    gc.collect()
    assert free(one_place)


@pytest.mark.parametrize("query", ["?country=Atlantis", f"?run={OTHER}", "?run=x"])
def test_a_refused_download_takes_no_place(one_place: FlaskClient, query: str) -> None:
    """A refused download takes no slot, for any reason of refusal."""
    assert one_place.get(f"/assignments.csv{query}").status_code in (404, 422)
    assert free(one_place)


def test_the_header_alone_takes_no_place(one_place: FlaskClient) -> None:
    """HEAD takes no slot and returns the headers of GET, including length and name, without a body."""
    asked = {"X-Request-Id": "the-same"}
    head = one_place.head("/assignments.csv", headers=asked)
    assert (head.status_code, head.data) == (200, b"")
    assert free(one_place)
    whole = one_place.get("/assignments.csv", headers=asked)
    assert head.content_length == whole.content_length == len(whole.data)
    assert head.headers == whole.headers


def test_a_download_has_an_end(database: str, tables: Tables) -> None:
    """A download that takes too long is ended and releases its slot."""
    CleanedRows.published(tables).generate(SOME)
    app = start(database, downloads=1, longest_download_seconds=0)
    try:
        for _ in range(2):
            with pytest.raises(TooSlowError):
                app.test_client().get("/assignments.csv")
    finally:
        stop(app)
