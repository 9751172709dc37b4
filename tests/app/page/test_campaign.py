"""The page's form for a file of customers: a file in, a file out, and a page that says what is wrong."""

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.settings import CAMPAIGNS
from tests.app.conftest import RUN, Ask, start, stop
from tests.app.page.conftest import words

Send = Callable[..., TestResponse]
FILE = b"country_code,total_orders\nPeru,14\n"


@pytest.fixture
def send(standing: Ask) -> Send:
    """Return a function that submits the form with a file, as a browser does."""

    def send(content: bytes | None = FILE, name: str = "list.csv", **fields: str) -> TestResponse:
        empty = {"segment_name": "", "country_code": "", "separator": ""}
        file = {"file": (BytesIO(content), name)} if content is not None else {}
        response = standing.client.post("/campaign", data=empty | fields | file)
        response.get_data()  # ends the answer, which would keep its place
        return response

    return send


def test_a_file_is_answered_as_a_download(send: Send) -> None:
    """The answer has the options of the form and the name of the file, and the page's security policy."""
    response = send(segment_name="frequent_segment", separator="semicolon", bom="true")
    assert response.data.decode() == "\ufeffcountry_code;total_orders;voucher_amount;problem\r\nPeru;14;1200;\r\n"
    assert response.headers["Content-Disposition"] == "attachment; filename=list-vouchers.csv"
    assert (response.mimetype, response.headers["Voucher-Run"]) == ("text/csv", RUN)
    assert "form-action 'self'" in response.headers["Content-Security-Policy"]


def test_a_large_file_is_answered(send: Send) -> None:
    """A file that is too large for the memory of the form's parser is answered too."""
    lines = 100_000
    response = send(FILE + b"Peru,14\n" * (lines - 1), segment_name="frequent_segment")
    assert response.data.count(b"Peru,14,1200,\r\n") == lines


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mis clientes.CSV", '"mis clientes-vouchers.csv"'),
        ("noname", "customers-vouchers.csv"),
        ("../../etc/list.csv", "list-vouchers.csv"),
        (f"{'x' * 300}.csv", f"{'x' * 100}-vouchers.csv"),
        ("Żółw.csv", "Zow-vouchers.csv; filename*=UTF-8''%C5%BB%C3%B3%C5%82w-vouchers.csv"),
    ],
)
def test_the_answer_is_named_after_the_file(send: Send, name: str, wanted: str) -> None:
    """The name keeps what is safe in a header: no folder, no control character, and at most 100 characters."""
    response = send(name=name, segment_name="frequent_segment")
    assert response.headers["Content-Disposition"] == f"attachment; filename={wanted}"


@pytest.mark.parametrize(
    ("content", "fields", "status", "said"),
    [
        (FILE, {}, 422, "The file has no column segment_name. The file has: country_code, total_orders."),
        (None, {}, 400, "No file was chosen. Choose a CSV file."),
        (b"", {}, 422, "The file is empty."),
        ("país".encode("cp1252"), {}, 400, "Line 1 is not UTF-8. In Excel, save the file as"),
        (FILE, {"segment_name": "<b>", "country_code": "Peru"}, 422, "must be one of frequent_segment"),
        (
            FILE,
            {"segment_name": "frequent_segment", "country_code": "Narnia"},
            404,
            "These countries have answers: Latvia, Peru",
        ),
    ],
)
def test_a_problem_is_a_page_with_the_form(
    send: Send, content: bytes | None, fields: dict[str, str], status: int, said: str
) -> None:
    """A file that can't be answered gets an HTML page with the problem, and the form with the fields as sent."""
    response = send(content, **fields)
    assert (response.status_code, response.mimetype) == (status, "text/html")
    assert said in words(response.text)
    assert 'enctype="multipart/form-data"' in response.text and "<b>" not in response.text
    if fields.get("segment_name") == "frequent_segment":
        assert '<option value="frequent_segment" selected>' in response.text


def test_a_body_that_is_no_form_is_a_page(standing: Ask) -> None:
    """A body of another type has no file, and one over the limit is refused, both with a page."""
    response = standing.client.post("/campaign", data=FILE, content_type="text/csv")
    assert (response.status_code, "No file was chosen" in response.text) == (400, True)
    form = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(2**40)}
    response = standing.client.post("/campaign", environ_overrides=form)
    assert (response.status_code, response.mimetype) == (413, "text/html")


def test_too_many_files_are_a_page_too(standing: Ask, send: Send) -> None:
    """While all places are taken, the form gets a 503 with Retry-After, and the next file an answer."""
    taken = [standing.client.application.extensions["file_slots"].take() for _ in range(CAMPAIGNS)]
    for slot in taken:
        slot.__enter__()
    response = send(segment_name="frequent_segment")
    for slot in taken:
        slot.__exit__(None, None, None)
    assert (response.status_code, response.mimetype, response.headers["Retry-After"]) == (503, "text/html", "10")
    assert send(segment_name="frequent_segment").status_code == 200


def test_the_form_is_found_again(standing: Ask) -> None:
    """Reloading the address of an answer leads to the page's form."""
    response = standing.client.get("/campaign")
    assert (response.status_code, response.headers["Location"]) == (302, "/#campaign")


def test_keys_are_asked_for(standing_database: str) -> None:
    """With API keys, a browser sends one as the password, as for the page itself."""
    app = start(standing_database, api_keys=("k" * 20,))
    try:
        client, form = app.test_client(), {"segment_name": "frequent_segment"}
        assert client.post("/campaign", data=form | {"file": (BytesIO(FILE), "a.csv")}).status_code == 401
        password: dict[str, Any] = {"Authorization": f"Basic {base64.b64encode(b'x:' + b'k' * 20).decode()}"}
        answer = client.post("/campaign", data=form | {"file": (BytesIO(FILE), "a.csv")}, headers=password)
        assert (answer.status_code, b",1200," in answer.data) == (200, True)
    finally:
        stop(app)
