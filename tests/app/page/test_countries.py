"""Finding a country on the page, and the overview of all countries."""

import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import RUN
from tests.app.page.conftest import Publish, words


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
